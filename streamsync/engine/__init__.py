"""The stream engine: bytes, partitions, offsets and transactions; it knows no business.

`lane` holds what a topology is written in (records, outputs, lane and topic specifications),
`driver` runs a topology in memory, `app` runs the same topology as a Faust worker on Kafka.
Importing this package loads neither Faust nor a Kafka client.
"""
