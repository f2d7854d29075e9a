"""Stages behind a form and an HTTP endpoint: what is served, requests in their order, the processes that answer."""
