"""Language models: where they come from, how they load, and the FFN view of each architecture."""
