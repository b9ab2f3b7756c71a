"""The sections of the page: a module and a template each, in the order of the registry."""
