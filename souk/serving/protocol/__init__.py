"""The wire: KServe's REST and gRPC servers, tokens, refusals, traces, and the V2 form of requests."""
