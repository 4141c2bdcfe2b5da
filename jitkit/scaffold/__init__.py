"""New plugins: a package with one component that works, its tests, and its continuous integration."""
