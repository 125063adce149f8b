"""Everything on one machine: embedded broker and cache, provider simulator, and the runner behind `parallax up`."""
