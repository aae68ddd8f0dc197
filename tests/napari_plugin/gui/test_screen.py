import numpy as np


def test_the_canvas_is_really_drawn(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy(show=True)
    image = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    viewer.add_image(image, name="noise")
    shot = viewer.screenshot(canvas_only=True, flash=False)[..., :3]
    assert shot.std() > 5
    assert len(np.unique(shot.reshape(-1, 3), axis=0)) > 50
