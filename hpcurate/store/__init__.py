"""What lies on shared storage: layout, lists, claims, commits.

The folder is the whole state: no server, no database, no locks. Everything goes through the small
`Filesystem` protocol, so that the protocols can be simulated.
"""
