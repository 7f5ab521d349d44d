"""Privacy: finding personal data in texts, erasure on request, retention."""
