"""The configuration of an Envoy in front of the suite, made from what the running services say of themselves.

`reflected` asks them, `straight` decides what Envoy may answer by itself, `routes`, `listeners`, `clusters` and `tls`
say it in Envoy's words, `document` puts it into files, `difference` places these, `binary` is Envoy itself.
"""
