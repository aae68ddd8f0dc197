"""Made co-cultures as tables, with known deaths, killers and contacts, and how well they are read.

No pixels: a scene gives what segmentation would hand on, with misses, false cells and confused roles, and the
product's own functions follow, count and credit. `docs/killbench.md` says what a scene is.

scene = simulate("medium", 0)
events = read_scenes(plate("medium", 0))
"""
