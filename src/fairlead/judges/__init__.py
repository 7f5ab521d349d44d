"""Models and services that judge and criticise replies, behind one protocol."""
