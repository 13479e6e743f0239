"""Executing jobs on several machines of one operator: one more executor behind the port of `icn.adapters.wasm.ports`.

```
 node's process            bridge (a process of its own)         each machine of the cluster
 ClusterPool ──frames──>   Foreman ── RayCluster ──Ray──>        Runner (an actor) ── WorkerPool ──> sealed workers
```

Ray carries calls and bytes, and says which machines there are. Everything that a guest meets, its limits and what seals
it, is the sandbox of a single machine, unchanged (icn.adapters.wasm). Kept empty of imports, as that package is.
"""
