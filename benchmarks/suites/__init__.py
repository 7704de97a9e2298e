"""The suites. Each is a package that measures one subject and has one page of results."""
