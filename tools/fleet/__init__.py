"""`quantrac simulate fleet`: one gateway with many devices, and one province with many gateways."""
