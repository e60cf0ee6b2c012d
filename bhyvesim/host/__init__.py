"""A host with VMs on it: create, reboot, touch and destroy by name, with a store and a clock."""
