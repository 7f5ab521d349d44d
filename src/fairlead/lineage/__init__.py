"""Manifests, hashes and their verification."""
