"""Spare those who get images over a connection a warning for each.

A window gets data sets in VTK's legacy format. Of an image in a multi-block it reads the size
first, from a text that ends at the first zero byte (VTK 9.2 to 9.6, vtkGenericDataObjectReader);
numbers of field data, which come before the size, have such bytes. So the size is said once more,
as the first field.
"""

from __future__ import annotations

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkImageData, vtkMultiBlockDataSet

from pvensemble.vtkdata.arrays import add_field

SIZE_FIELD = "size"


def say_sizes(blocks: vtkMultiBlockDataSet) -> None:
    """Put copies of the images in their places, with their sizes as the first field."""
    for position in range(blocks.GetNumberOfBlocks()):
        image = blocks.GetBlock(position)
        if isinstance(image, vtkImageData):
            blocks.SetBlock(position, _with_size(image))


def _with_size(image: vtkImageData) -> vtkImageData:
    text = "\n".join(
        f"{key} {' '.join(map(str, values))}"
        for key, values in (
            ("DIMENSIONS", image.GetDimensions()),
            ("SPACING", image.GetSpacing()),
            ("ORIGIN", image.GetOrigin()),
        )
    )
    copy = image.NewInstance()
    copy.ShallowCopy(image)
    copy.GetFieldData().Initialize()
    add_field(copy.GetFieldData(), SIZE_FIELD, np.frombuffer(f"\n{text}\n".encode(), np.int8))
    for k in range(image.GetFieldData().GetNumberOfArrays()):
        copy.GetFieldData().AddArray(image.GetFieldData().GetAbstractArray(k))
    return copy
