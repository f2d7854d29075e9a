"""Objects in a bucket, `s3://bucket/key`: what an address is, listing, fetching, publishing.

Runs in every stage environment: Python 3.9; fsspec and s3fs are imported once an object is asked for.
"""
