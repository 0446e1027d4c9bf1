"""Makes coco.json: random boxes, and what pycocotools says of them. `python make_coco.py > coco.json` (pycocotools, numpy)."""

import contextlib
import io
import json
import random

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

random.seed(7)
CLASSES = 4


def quarter(low, high):
    """A number that 32-bit floats hold exactly."""
    return random.randint(low * 4, high * 4) / 4


samples = []
for number in range(24):
    truths, found = [], []
    for _ in range(random.randint(0, 9)):
        truth = {
            "bbox": [quarter(0, 300), quarter(0, 200), quarter(8, 90), quarter(8, 90)],
            "class": random.randrange(CLASSES),
            "crowd": random.random() < 0.15,
        }
        truths.append(truth)
        for _ in range(random.choice([0, 1, 1, 1, 2])):
            left, top, width, height = truth["bbox"]
            shaken = [left + quarter(-9, 9), top + quarter(-9, 9), width + quarter(-7, 9), height + quarter(-7, 9)]
            kind = truth["class"] if random.random() < 0.9 else random.randrange(CLASSES)
            # Few different scores, so that there are equal ones.
            found.append({"bbox": shaken, "class": kind, "score": random.randint(1, 64) / 64})
    for _ in range(random.randint(0, 3)):
        box = [quarter(0, 300), quarter(0, 200), quarter(8, 90), quarter(8, 90)]
        found.append({"bbox": box, "class": random.randrange(CLASSES), "score": random.randint(1, 48) / 64})
    samples.append({"truths": truths, "found": found})

coco, results = COCO(), []
dataset = {"images": [], "annotations": [], "categories": [{"id": c + 1, "name": str(c)} for c in range(CLASSES)]}
for number, sample in enumerate(samples, 1):
    dataset["images"].append({"id": number, "file_name": f"{number}.jpg", "width": 400, "height": 300})
    for truth in sample["truths"]:
        dataset["annotations"].append(
            {
                "id": len(dataset["annotations"]) + 1,
                "image_id": number,
                "category_id": truth["class"] + 1,
                "bbox": truth["bbox"],
                "area": truth["bbox"][2] * truth["bbox"][3],
                "iscrowd": int(truth["crowd"]),
            }
        )
    for found in sample["found"]:
        results.append(
            {"image_id": number, "category_id": found["class"] + 1, "bbox": found["bbox"], "score": found["score"]}
        )
with contextlib.redirect_stdout(io.StringIO()):
    coco.dataset = dataset
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
# By threshold (0.5, 0.55, ..., 0.95), recall, class, area (all), detections (100).
precision = evaluation.eval["precision"]
expected = {
    f"{0.5 + 0.05 * t:.2f}": [float(precision[t, :, c, 0, 2].mean()) for c in range(CLASSES)] for t in (0, 5, 9)
}
print(json.dumps({"samples": samples, "expected": expected}))
