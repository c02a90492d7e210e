"""The operations, independent of the door that a call came through.

A module reads messages, calls a domain and builds messages; it knows no protocol.
"""
