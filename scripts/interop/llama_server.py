"""llama.cpp's own HTTP server (its C++ routes, in the wheel `xllamacpp`) on a port of the loopback address.

usage: llama_server.py MODEL.gguf PORT SLOTS CONTEXT_PER_SLOT
"""

import signal
import sys

import xllamacpp

model, port, slots, context = sys.argv[1], *map(int, sys.argv[2:5])
params = xllamacpp.CommonParams()
params.model.path = model
params.model_alias = {"tiny"}
params.hostnames = ["127.0.0.1"]
params.port = port
params.n_parallel = slots
params.n_ctx = context * slots
params.cpuparams.n_threads = 1
params.cpuparams_batch.n_threads = 1
params.n_threads_http = 8
server = xllamacpp.Server(params)
print("listening on", server.listening_address, flush=True)
signal.sigwait({signal.SIGTERM, signal.SIGINT})
