"""Builder of CIFAR-100 (Krizhevsky, 2009): 50,000 + 10,000 photographs, 32x32x3 uint8."""

from typing import ClassVar

from cnnlab.data.builders.cifar_builder import CifarBuilder

_FINE = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle
    bowl boy bridge bus butterfly camel can castle caterpillar cattle
    chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
    dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard
    lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
    mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree
    plain plate poppy porcupine possum rabbit raccoon ray road rocket
    rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
    train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
_COARSE = """
    aquatic_mammals fish flowers food_containers fruit_and_vegetables
    household_electrical_devices household_furniture insects large_carnivores
    large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores
    medium_mammals non-insect_invertebrates people reptiles small_mammals trees
    vehicles_1 vehicles_2
"""


class Builder(CifarBuilder, skip_registration=True):
    """CIFAR-100 in ArrayRecord, prepared without TensorFlow."""

    URL = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
    DESCRIPTION = "CIFAR-100: small photographs in a hundred classes, five to a superclass."
    FOLDER = "cifar-100-binary"
    FILES: ClassVar[dict[str, tuple[str, ...]]] = {"train": ("train.bin",), "test": ("test.bin",)}
    LABEL_BYTES: ClassVar[tuple[str, ...]] = ("coarse_label", "label")
    COUNTS: ClassVar[dict[str, int]] = {"train": 50_000, "test": 10_000}
    LABELS: ClassVar[dict[str, tuple[str, ...]]] = {
        "label": tuple(_FINE.split()),
        "coarse_label": tuple(_COARSE.split()),
    }
