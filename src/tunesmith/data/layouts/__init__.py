"""Layouts of folders, one a file, in the order in which they are asked (`data.layout`)."""

TABLE: dict[str, str] = {
    "metadata": "tunesmith.data.layouts.metadata:Metadata",
    "mask-folders": "tunesmith.data.layouts.mask_folders:MaskFolders",
    "retrieval": "tunesmith.data.layouts.retrieval:Retrieval",
    "class-folders": "tunesmith.data.layouts.class_folders:ClassFolders",
}
PROTOCOLS = ("tunesmith.data.layout:Layout",)
