"""Films of killing assays with known truth: cells, their behaviour, the microscope."""
