"""WebSocket protocol `hub.v1`: commands, who wants what, one client's states, and the only timer."""
