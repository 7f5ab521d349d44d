"""The pages of the feedback service: forms that work without JavaScript, and one small module."""
