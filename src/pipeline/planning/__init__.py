"""What a study will make: its stages, jobs and identities, and what they will cost."""
