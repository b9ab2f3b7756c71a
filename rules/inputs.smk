"""Input functions: what the jobs of a study read, by their wildcards."""

@fixed
def conversion_of(wildcards):
    """The record of a model's conversion, if it has to be converted."""
    return list(STUDY.conversion(model_named(wildcards)).get("converted", ()))


def neurons_of(model, corpus):
    """The neurons of a profile."""
    return file_in(STUDY.profile_place(model, corpus), "merge_profile", "neurons")


def sequences_of(model, corpus):
    """The sequences of a corpus in a model's tokens."""
    return file_in(STUDY.corpus_place(model, corpus), "extract_calibration", "sequences")


def profiled_sequences(wildcards):
    """The sequences that a profile is made from."""
    return sequences_of(*PROFILES[wildcards.profile_key])


def document_shards(wildcards):
    """The tokenized shards of a corpus, if it is divided."""
    number = CONFIG.calibration[CORPORA[wildcards.corpus_key][1]].shards
    return shards_of("extract_shard", "documents", number, corpus_key=wildcards.corpus_key)


def overlap_checks(wildcards):
    """The comparisons of all corpora, in a model's tokens, with the tasks."""
    model = model_named(wildcards)
    return [
        file_in(STUDY.overlap_place(*pair), "check_overlap", "overlap")
        for pair in STUDY.extracted
        if pair[0] == model
    ]


def other_neurons(wildcards):
    """Neurons of the second profile that a policy looks at, if any."""
    section = CONFIG.classification[wildcards.classification]
    if STUDY.needs(section.policy) != "profile":
        return []
    return neurons_of(wildcards.model, section.other)


def other_sequences(wildcards):
    """Sequences on which a policy measures a loss, if any."""
    section = CONFIG.classification[wildcards.classification]
    if STUDY.needs(section.policy) != "sequences":
        return []
    return sequences_of(wildcards.model, section.other)


def classes_of_method(model, name):
    """The classification that a method ranks by."""
    return file_in(STUDY.classes_place(model, name), "classify", "classes")


@fixed
def ranking_of(wildcards):
    """What a method ranks by: the profile's neurons and their classes."""
    return dict(
        record=model_of(wildcards),
        neurons=neurons_of(wildcards.model, CONFIG.methods[wildcards.method].corpus),
        classes=classes_of_method(wildcards.model, wildcards.method),
        distractor=distractors_of(wildcards),
        matched=matched_of(wildcards),
        activity=activity_of(wildcards),
    )


@fixed
def activity_of(wildcards):
    """The profile on which the activity of the neurons that a method removes is measured, if it
    removes any."""
    if not STUDY.removes(wildcards.method):
        return []
    return neurons_of(wildcards.model, STUDY.activity_corpus)


def matched_of(wildcards):
    """The plan whose numbers of neurons per layer a condition takes, if it is matched to
    another."""
    other = STUDY.matched_plan(wildcards.model, wildcards.method, wildcards.level)
    if other is None:
        return []
    place = STUDY.condition_place("fit", other)
    return [file_in(place, "fit", name) for name in ("plan", "arrays")]


def distractors_of(wildcards):
    """Neurons of the further profiles that a method looks at."""
    corpora = STUDY.read_by(wildcards.method, "profile")
    return [neurons_of(wildcards.model, corpus) for corpus in corpora]


@fixed
def evidence_of(wildcards):
    """What a method is fitted on together with the model: its text, its profile, its classes."""
    model, method = wildcards.model, CONFIG.methods[wildcards.method]
    profile = STUDY.profile_place(model, method.corpus)
    sample = STUDY.profile_place(model, method.corpus, "profile_sample")
    classes = classes_of_method(model, wildcards.method) if method.classification else []
    return dict(
        record=model_of(wildcards),
        sequences=sequences_of(model, method.corpus),
        neurons=file_in(profile, "merge_profile", "neurons"),
        histograms=file_in(profile, "merge_profile", "histograms"),
        thresholds=file_in(sample, "profile_sample", "thresholds"),
        norms=file_in(sample, "profile_sample", "norms"),
        classes=classes,
        distractor=distractors_of(wildcards),
    )


@fixed
def prepared_of(wildcards):
    """What the levels of a method share, if anything."""
    if not STUDY.prepares(wildcards.method):
        return []
    return path("prepare", "prepared", model=wildcards.model, method=wildcards.method)


@fixed
def text_of(wildcards):
    """A separate text that a method's compensation is fitted on, if it names one."""
    corpora = STUDY.read_by(wildcards.method, "sequences")
    return [sequences_of(wildcards.model, corpus) for corpus in corpora]


def shards_of(rule, output, number, **values):
    """An output of all of a rule's shards, or nothing where a single job does the work; wildcards
    without a value stay in the paths."""
    if number < STAGES[rule].least_shards:
        return []
    return [path(rule, output, **values, shard=n, shards=number) for n in range(number)]
