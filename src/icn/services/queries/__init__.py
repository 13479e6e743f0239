"""Views of committed data, for surfaces: pure functions over a `Reader`, never over the engine's live state.

Field names are those of the HTTP answers; how values are written (times, bytes, names) is the surface's business.
"""
