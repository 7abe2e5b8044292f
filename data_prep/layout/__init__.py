"""Which label, split, generator, class and cluster each image of a source has, by the names of folders or by lists.

A name proves little: one of ForenSynths' classes is called `train`, and one of its generators `deepfake`. So a name is
read beside its siblings, the other names in the same folder. Where a doubt is left, the source is refused with the
option that settles it: nothing is trained on, or called real, by a guess.
"""
