"""The HTTP side of the feedback service: the door, who comes in, the JSON API, the server."""
