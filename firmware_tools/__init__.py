"""Tools for the maker of the firmware: training, quantising, provisioning, bundling and measuring; never on a device."""
