"""CEL's conformance suite, asked of compiled and reference evaluation: `make conformance`.

The suite isn't part of this project: its files, `cel-spec/tests/simple/testdata/*.textproto`, have
a license of their own.
"""
