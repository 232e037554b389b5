"""Small pictures in folders of classes."""

import numpy as np
from PIL import Image


def smooth(height, width, seed):
    """A picture without much noise, so that formats that lose some keep most."""
    random = np.random.RandomState(seed)
    coarse = random.randint(0, 256, (3, 4, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def save(picture, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)


def make(root, count=6, classes=("cat", "dog"), height=20, width=30):
    for c, name in enumerate(classes):
        for i in range(count):
            picture = smooth(height + i, width + c, 100 * c + i)
            save(picture, root / name / f"{i}.jpg", quality=95)
