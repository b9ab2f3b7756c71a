// COLD_TARGET_BEGIN("avx2,fma") ... COLD_TARGET_END: functions between are compiled for that
// instruction set, whatever the command line says, so that one build serves every processor.
#pragma once

#define COLD_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define COLD_TARGET_BEGIN(set) \
    COLD_PRAGMA(clang attribute push(__attribute__((target(set))), apply_to = function))
#define COLD_TARGET_END _Pragma("clang attribute pop")
#else
#define COLD_TARGET_BEGIN(set) _Pragma("GCC push_options") COLD_PRAGMA(GCC target(set))
#define COLD_TARGET_END _Pragma("GCC pop_options")
#endif
