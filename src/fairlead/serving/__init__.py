"""An OpenAI-compatible server for a policy, and the way back from its replies to labels."""
