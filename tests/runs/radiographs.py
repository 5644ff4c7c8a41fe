"""Drawn radiographs as DICOM files: a trunk with two lungs, noise, and a lead letter beside it."""

from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

FACE = str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf")
WIDTH, HEIGHT = 640, 720
CHEST = {"Modality": "CR", "BodyPartExamined": "CHEST", "ViewPosition": "PA", "PatientOrientation": ["L", "F"]}


def draw_chest(seed: int, marker: str) -> NDArray[np.uint8]:
    """A frontal chest with its marker on the patient's side: R left of the picture, L right of it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    x, y = (x / WIDTH - 0.5) * 2 - rng.uniform(-0.1, 0.1), (y / HEIGHT - 0.5) * 2 - rng.uniform(-0.15, 0.15)
    shades = np.where(np.abs(x) < rng.uniform(0.65, 0.85), rng.uniform(0.45, 0.65) + 0.15 * y, 0.08)
    for middle in (-0.4, 0.4):
        spread, height = rng.uniform(0.22, 0.34), rng.uniform(0.5, 0.8)
        lung = np.clip(1.2 - ((x - middle) / spread) ** 2 - ((y + 0.1) / height) ** 2, 0, 1)
        ribs = np.sin(y * rng.uniform(20, 30) + rng.uniform(0, 6)) * 0.06
        shades = shades - lung * (rng.uniform(0.25, 0.4) + ribs)
    for _ in range(6):
        at_x, at_y, size = rng.uniform(-0.6, 0.6), rng.uniform(-0.9, 0.9), rng.uniform(0.08, 0.25)
        shades = shades + rng.uniform(-0.15, 0.2) * np.exp(-(((x - at_x) / size) ** 2) - ((y - at_y) / size) ** 2)
    image = Image.fromarray((np.clip(shades, 0, 1) * 255).astype(np.uint8))
    left = int(rng.uniform(15, 40)) if marker == "R" else WIDTH - int(rng.uniform(55, 80))
    ImageDraw.Draw(image).text((left, int(rng.uniform(40, 160))), marker, font=ImageFont.truetype(FACE, 44), fill=235)
    blurred = cv2.GaussianBlur(np.asarray(image, np.float32), (0, 0), 1.0)
    return np.clip(blurred + rng.normal(size=blurred.shape) * 4.0, 0, 255).astype(np.uint8)


def encode_dicom(pixels: NDArray[np.uint8], **tags: Any) -> bytes:
    """A DICOM file of 12 bits with these elements."""
    dataset = Dataset()
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["radiograph", str(pixels.sum())])
    dataset.PatientName = "ROENTGEN^WILHELM"
    for name, value in (CHEST | tags).items():
        setattr(dataset, name, value)
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.PixelData = (pixels.astype(np.uint16) * 16).tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
