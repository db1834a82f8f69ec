"""Jobs: methods on many measurements, shard by shard, by one process or by many."""
