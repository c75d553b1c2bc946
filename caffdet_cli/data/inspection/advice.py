"""What to do about each kind of finding of `caffdet data check`."""

ADVICE: dict[str, str] = {
    # What reading the annotation files says
    "duplicate id": "give every picture and every object an id of its own; converting again does",
    "broken annotation": "write annotations as COCO objects",
    "unknown picture": "correct image_id, or add the picture to images",
    "unknown class": "correct category_id, or add the class to categories",
    "broken box": "write bbox as [left, top, width, height] in pixels",
    "box without area": "remove the object, or draw its box again",
    # Files and pairs
    "missing partner": "fetch or copy the file again, or write null for it: training stops at a file that is not there",
    "no picture": "fetch or copy the files again, or take the example out of the annotation file",
    "unreadable picture": "fetch or copy it again; training stops at it",
    "other size": "convert again, or correct width and height: boxes are in the wrong place as it is",
    "not of the rig": "pictures of another camera, or cut; give them a rig and a data set of their own (data align)",
    "partner of another aspect": "crop or align the pictures first: one of them would be stretched",
    "partner of another size": "nothing, if both show the same view: the partner is resized to the label picture",
    "one picture for both spectra": "look at the names: both spectra are the same file",
    "blank picture": "take it out, or fetch it again",
    "not listed": "nothing, if they are meant to be left out",
    # Depth and channels
    "another bit depth": "store all pictures of a spectrum alike: the thermal rule changes only 16-bit ones",
    "8 bits in 16": "if they are 8-bit pictures, store them as such; else set data.thermal to range",
    "coloured infrared": "use the radiometric or grey pictures: colours of a palette are no temperatures",
    "grey RGB": "nothing, if the camera is grey; else look for the colour pictures",
    "spectra swapped": "look at the pair; if RGB and infrared are exchanged, exchange their folders",
    "red and blue swapped": "look at the worst page; if skin is blue, the pictures were saved in BGR order",
    # Boxes and classes
    "box outside": "take it out or correct it: nothing of it can be seen",
    "box reaches out": "nothing: training cuts boxes to the picture, and evaluation of some sets wants them whole",
    "labels differ": "look at the pair; convert again with --labels rgb, ir, union or intersection to choose",
    "same box twice": "remove one of them: the second can only be missed",
    "no objects": "nothing, if nothing is to be seen there: they teach what background is",
    "class without objects": "nothing, if it is rare; a split without a class says nothing about it",
    "other classes": "give a class the same id and name in every split",
    "mixed ids": "use numbers or words for ids, not both: many tools sort them",
    # Between splits
    "same picture twice": "remove one of them",
    "same picture in two splits": "take it out of the training split: its score is no score",
    "alike in two splits": "split by scene or video, not by picture; near-equal frames make scores too good",
    "same scene in two splits": "split by scene or video, if the scene's name means a camera or a video",
    # Between spectra
    "spectra shifted": "align them (caffdet data align) or crop; boxes fit one spectrum only",
    "out of step": "look at them on the worst page; take pairs out that are not of one moment",
    "nothing in common": "look at the pair: is it the right partner? In fog, glare or darkness nothing can be matched",
}
