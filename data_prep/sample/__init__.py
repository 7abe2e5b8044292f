"""The embedded sample: about 4,000 small images to try the system on, offline. `README.md` says what they are."""
