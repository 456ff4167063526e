"""The words of a run and of a written answer, typed: keyword arguments of `tunesmith.train` and its kin.

Written by tools/words.py from the options that declare them; do not edit it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict


class TrainWords(TypedDict, total=False):
    """What a run can be told: every option of every task, method and callback. None is as if it was not given."""

    validation: Any
    """Validation data of your own; otherwise a part of the training data is held out."""
    test: Any
    """Test data of your own; otherwise a part of the training data is held out."""
    text: Sequence[str] | str | None
    """Name of the text column (two names for pairs of texts), or of what else is read (then also `input`). Guessed
    when not given."""
    target: Sequence[str] | str | None
    """Name of the column to learn (several for one 0/1 column per label). Guessed when not given."""
    task: (
        Literal["auto", "text-classification", "text-regression", "image-classification", "image-regression",
        "object-detection", "image-segmentation", "token-classification", "question-answering", "embedding",
        "reranking", "chat", "preference", "seq2seq"] | str | None
    )  # fmt: skip
    """What is learned: a name from `tunesmith tasks`, or auto."""
    model: str | os.PathLike[str] | None
    """The base model: a name from `tunesmith models`, a hub id, a local folder, PACKAGE:FUNCTION for a network of
    your own, timm:NAME, or auto."""
    method: (
        Literal["auto", "full", "head", "contrastive", "lora", "qlora", "adapters", "progressive", "gradual", "ia3",
        "bitfit", "prefix", "prompt", "scratch"] | str | None
    )  # fmt: skip
    """Which weights move: a name from `tunesmith methods`, or auto."""
    effort: Literal["quick", "better", "best"] | None
    """How far to go for quality where the method is not given: quick (a linear head on the frozen base, seconds),
    better (the base is fine-tuned where that pays), best (several methods, the best on validation rows)."""
    callbacks: Sequence[str] | None
    """What happens around the training steps."""
    retain: Sequence[str | os.PathLike[str]] | str | os.PathLike[str] | None
    """What must not be forgotten: files of labelled rows, or earlier runs. It is measured before and after."""
    continue_from: str | os.PathLike[str] | None
    """An earlier run whose model is the base; what it learned is retained."""
    forget_at_most: float | None
    """Most that may be lost of what is retained (of its first metric); training is gentler until that holds."""
    goal: str | None
    """What is good enough, such as accuracy>=0.95: the verdict says whether the test rows reach it."""
    seed: int | None
    """Seed of the split, the order of rows, new weights and dropout."""
    epochs: int | None
    """How often every training row is seen. The method's own number when not given."""
    max_steps: int | None
    """Stop after this many optimizer steps, whatever the epochs."""
    batch_size: int | None
    """Rows in one optimizer step; when not given, as many rows of similar length as suit the data."""
    gradient_accumulation: int | None
    """Batches whose gradients are added up before one optimizer step."""
    learning_rate: float | None
    """Highest learning rate of the body. The method's own number when not given."""
    weight_decay: float | None
    """AdamW's weight decay; never applied to biases and normalisation."""
    warmup_ratio: float | None
    """Part of the steps over which the learning rate rises from zero."""
    schedule: Literal["linear", "cosine", "constant"] | None
    """How the learning rate falls after the warm-up."""
    max_grad_norm: float | None
    """Gradients are scaled down to at most this norm."""
    init_seed: int | None
    """Seed of weights that begin at random, such as a new head; that of the run when not given."""
    precision: Literal["auto", "fp32", "bf16"] | None
    """Number format of the forward and backward pass; auto takes what is faster on this machine."""
    gradient_checkpointing: bool | None
    """Compute activations again in the backward pass: less memory, about a third more time."""
    save_steps: int | None
    """Save a checkpoint every so many steps; when not given, at every evaluation and every 5 minutes."""
    eval_steps: int | None
    """Evaluate on the validation rows every so many steps; when not given, after every epoch."""
    freeze: Sequence[str] | str | None
    """Blocks that stay as they are, whatever the method moves: embeddings, layers.0-3, head."""
    frozen_cache: bool | None
    """Run blocks that never move once and read the rest from disk; when not given, where that takes at most 4 GB."""
    patience: int | None
    """Early stopping: evaluations without improvement that are waited for."""
    keep_cache: bool | None
    """Keep the run's cache of tokens and frozen features after success."""
    validation_size: float | None
    """Share of the rows to validate on, where no validation file is given; when not given, a tenth, less of many
    rows (a twentieth or 500 rows, at most 5,000)."""
    test_size: float | None
    """Share of the rows to test on, where no test file is given; when not given, a fifth, less of many rows (a tenth
    or 1,000 rows, at most 5,000)."""
    group: str | None
    """Column whose equal values stay together: no group stands in two splits. Of files also a word in their names
    (patient keeps all of patient_12 together), or folder."""
    time: str | None
    """Column with dates or numbers: the newest rows become the test rows, the next newest validation."""
    near_duplicates: float | None
    """Texts are near-identical from this share of common three-letter pieces on (Jaccard); 0 looks for identical
    texts only."""
    encoding: str | None
    """Encoding of the text files, such as utf-8, cp1252 or shift_jis. Found out when not given."""
    encoding_errors: Literal["strict", "repair", "replace"] | None
    """Bytes that are not of the encoding: strict refuses the file and names the lines, repair reads them in the
    encoding that fits them, replace puts U+FFFD in their place. The rows are counted."""
    delimiter: str | None
    """The sign between cells: a character, tab, comma, semicolon, bar or space. Found out when not given."""
    decimal: Literal[".", ","] | None
    """The sign before the fraction of a number. Found out when not given."""
    header_row: int | None
    """Line of the file (row of the sheet) that holds the names of the columns, from 1; 0 where there is none. Found
    out when not given."""
    sheet: str | None
    """Sheet of a workbook (Excel, OpenDocument). Found out when not given."""
    label_separator: str | None
    """What stands between several labels in one cell, such as "|" or ", "; off where every cell is one label. Found
    out when not given."""
    label_names: str | Sequence[str] | Mapping[str | int, str | int] | None
    """Names of labels that are numbers (3, or 3,10), or of the positions of 0/1 vectors, from 0 on: a list, names
    with commas between them, or a file with one a line. For any numbers, and for words: {3: food, 10: shop}
    (id2label or label2id), or a file of numbers with names, or of JSON."""
    merge_labels: bool | None
    """Read spellings of one label (Refund, refund, "refund ") as the most frequent one."""
    nothing: Literal["drop", "keep"] | None
    """Cells that hold but a word for nothing (N/A, null, -): drop those rows, or keep the word as text or label."""
    missing: Sequence[str] | str | None
    """Further values that mean that there is none, such as -999 in a column of numbers."""
    unreadable: Literal["refuse", "drop"] | None
    """Inputs that can not be read (a damaged or absent picture): refuse the data and name them all, or drop those
    rows, each with its reason in the ledger."""
    unseen_labels: Literal["refuse", "warn"] | None
    """Labels of validation or test files that no training row has: refuse, or only warn."""
    repeated_answers: Literal["refuse", "any", "first"] | None
    """Answers that stand in several places of their context, where nothing says which is meant: refuse them, take
    any of the places for right, or the first."""
    max_length: int | None
    """Most tokens of an example; the model's own limit, at most 2,048, when not given."""
    overflow: Literal["truncate", "drop", "error"] | None
    """What happens to longer examples: cut so that every answer stays, leave out, or refuse to start."""
    packing: bool | None
    """Several short examples in one row, none seeing another; when not given, where padding costs over a tenth."""
    new_tokens: Sequence[str] | None
    """Words that the vocabulary gets; their embeddings are trained."""
    generate_rows: int | None
    """Test rows that are answered by the base, the prompted base and the tuned model."""
    max_new_tokens: int | None
    """Most tokens of an answer; twice the longest of nine in ten training answers, at most 256, when not given."""
    few_shot: int | None
    """Training examples that the prompted base is shown."""
    class_weights: Literal["auto", "off"] | Mapping[str, float] | None
    """What an error on each class costs: off (all alike), auto (rare classes more, where classes differ much in
    size), or a number for each label."""
    label_smoothing: float | None
    """Share of the target spread over the other labels (single label only)."""
    dropout: float | None
    """Dropout in the network while training."""
    features: str | Sequence[str] | None
    """Columns that are read beside the text, as numbers, categories or dates: names with commas between them, a
    list, or auto for all that hold such and do not tell the target by themselves."""
    augment: (
        Literal["auto"] | Literal["none", "light", "standard", "strong"] | Literal["auto", "none", "light", "standard",
        "strong"] | None
    )  # fmt: skip
    """How far training pictures are changed at random, anew in every epoch: none, light (crops, a little
    brightness), standard (also turned by up to 10 degrees, colours, parts erased), strong (also two operations of
    RandAugment); auto is standard."""
    flip: Literal["auto"] | Literal["none", "horizontal", "vertical", "both"] | None
    """How training pictures may be mirrored. Never where labels depend on it, as those of digits, text and signs do;
    auto asks a linear head on the frozen base whether its answers stay the same."""
    tta: Literal["none", "horizontal", "vertical", "both"] | None
    """Test-time flips: answers are those to a picture and to its mirror images together, also in the saved model,
    and take as many times longer. Probabilities are averaged, boxes that overlap are fused."""
    mixup: float | None
    """Pictures of a batch are blended in pairs, and so are their targets: alpha of the Beta distribution that their
    shares are drawn from (mixup, Zhang et al. 2018; 0.2 is usual); 0: not at all."""
    cutmix: float | None
    """The same with a part of one picture put into another (CutMix, Yun et al. 2019; 1.0 is usual). With both, each
    in half of the batches."""
    sampling: Literal["plain", "balanced"] | None
    """How often training pictures come in an epoch: each once (plain), or those of rare labels as often as those of
    frequent ones (balanced)."""
    image_size: int | None
    """Pixels of the longer side of what is read of each picture; the other follows from the shape of the training
    pictures. When not given, 320, or 480 or 640 where things of a label are small, or as a detector of
    transformers was made for. Time grows with its square."""
    dice: float | None
    """Share of the Dice loss, which counts every class of a picture alike, beside the cross entropy of its pixels."""
    windows: int | None
    """Most windows of a question in a step of training: one with its answer, others drawn anew in every epoch."""
    max_answer_length: int | None
    """Longest answer that is given, in characters. When not given, the longest of the training rows."""
    loss: Literal["auto", "mnrl", "cosent", "triplet", "mse"] | Literal["auto", "bce", "listwise", "mse"] | None
    """What is learned: mnrl (each query finds its document among those of its batch), cosent (pairs in the order of
    their scores), triplet (a document before a negative, by a margin) or mse (cosines as the scores are). Chosen
    by the data when not given."""
    scale: float | None
    """What cosines are multiplied by (mnrl, cosent); 1 / temperature."""
    margin: float | None
    """How much nearer than a negative a document has to be (triplet)."""
    hard_negatives: int | None
    """Documents that the base takes for relevant and are not, beside each row of a batch (mnrl). When not given, one
    where the data has none and enough documents; 0: none."""
    negative_margin: float | None
    """A document nearer to the query than its own by its cosine times one minus this may be relevant, and is no hard
    negative."""
    matryoshka: Sequence[int] | None
    """Sizes at which vectors can be cut off later, such as 128,64; each is learned and measured too."""
    corpus: str | None
    """A file of more documents among which the test queries have to find theirs, a text a row."""
    query_prompt: str | None
    """What is put before queries, such as "query: "."""
    document_prompt: str | None
    """What is put before documents, such as "passage: "."""
    distill_epochs: int | None
    """Epochs, the first ones, in which the network learns what the base says of other pairs of the training texts,
    by the cosines of their vectors. When not given, a third of all where pairs have scores and the base is a
    sentence encoder, at most two; 0: none."""
    symmetric: bool | None
    """Whether both texts of a pair are of one kind, so that pairs are learned in both orders, by turns. When not
    given, found out: where pairs have scores and the same texts stand on both sides."""
    candidates: int | None
    """Documents that BM25 finds for each query of validation and test rows, to be ordered with its own, where the
    data has no lists."""
    template: str | os.PathLike[str] | None
    """Chat template in place of the model's own: chatml, or a .jinja file. A base without one needs it."""
    date: str | None
    """The day that a chat template writes which asks for today's (2026-01-31); the day of the first start when not
    given."""
    beta: float | None
    """How strongly the model is held to the base: the factor of the log-ratios."""
    preference_loss: Literal["sigmoid", "ipo"] | None
    """For pairs: DPO's logistic loss, or IPO's squared one, which over-fits less. Single answers use KTO's."""
    prefix: str | None
    """Put before every source, as T5 was trained with: 'summarize: '."""
    source_language: str | None
    """Of a model of many languages, in its own words: 'eng_Latn' for NLLB."""
    target_language: str | None
    """The language to write: 'deu_Latn'."""
    frozen_share: float | None
    """Share of the network, from the bottom, that stays as it is: its embeddings and this part of its blocks. 0
    moves everything, embeddings too. When not given, a third of a text encoder, nothing of a language model."""
    layer_decay: float | None
    """Learning rate of each block as a part of that of the block above it."""
    head_learning_rate: float | None
    """Learning rate of the head; one and a half times the body's when not given."""
    head_init: str | None
    """Start the head from the linear solution on frozen features (probe) or from noise (random)."""
    temperature: float | None
    """What cosine similarities are divided by; lower looks more at the nearest rows."""
    pair_weight: float | None
    """What the comparison of rows counts in the loss, beside the head's own."""
    rows_per_class: int | None
    """Rows of one class that stand together in a batch, to be compared."""
    learn_names: bool | None
    """Take the name of each label for one more row of it; when not given, where the names mean something to the base
    model."""
    rank: int | None
    """Rank of each addition."""
    alpha: int | None
    """The additions are scaled by alpha / sqrt(rank) (rank-stabilised: Kalajdzievski 2023)."""
    lora_dropout: float | None
    """Dropout before each addition."""
    dora: bool | None
    """Learn the length of each weight column apart from its direction (DoRA: Liu et al. 2024); slower."""
    adapter_type: Literal["pfeiffer", "houlsby"] | None
    """After the feed-forward part of each block, or (houlsby) after its attention as well."""
    reduction_factor: float | None
    """How many times narrower than the network an adapter is in its middle."""
    column_decay: float | None
    """Learning rate of each block by that of the block above it."""
    shared_share: float | None
    """Share of the blocks, from the bottom, that all columns have in common and none moves. A network that has
    columns keeps the share it was given first."""
    stages: int | None
    """Steps until all that is to move moves: the head alone in the first, a share of the blocks more in each."""
    unfreeze: Literal["epoch", "stall"] | None
    """When the next stage begins: with each epoch, or after one in which validation has not improved (give it enough
    epochs then)."""
    rate_decay: float | None
    """Learning rate of each block by that of the block below it."""
    virtual_tokens: int | None
    """Length of what is learned before the text; the model's context shrinks by it."""
    init_text: str | None
    """Text whose keys and values it starts from, repeated or cut to fit; common words, drawn, when not given."""
    ema_decay: float | None
    """Share of the moving average that is kept at each step; less in the first steps: (1 + step) / (10 + step)."""
    rehearsal_rate: float | None
    """Retained rows that rehearsal learns with each new row."""
    sampled_texts: int | None
    """Texts that a language model writes of itself before training, to be retained beside, or without, data that it
    learned from (pseudo-rehearsal: Robins 1995; of language models: Sun et al. 2020)."""
    ewc_strength: float | None
    """Penalty of ewc: strength/2 times the sum of F (w - w0)^2, the Fisher information F scaled to sum to a million."""
    l2sp_strength: float | None
    """Penalty of l2sp: strength/2 times the sum of squared distances of the weights from their start."""
    distill_weight: float | None
    """How much keeping the old answers counts in the loss, beside the new task's 1."""
    interpolate_alpha: float | None
    """Where interpolate stops between the start (0) and the trained weights (1); when not given, the place that
    forgets least among those whose validation metric costs next to nothing beside the best one."""


class SamplingWords(TypedDict, total=False):
    """How a model that writes text writes it."""

    max_new_tokens: int | None
    """Most tokens of an answer; the model's context may allow fewer."""
    temperature: float | None
    """0 takes the likeliest token every time; higher is more varied."""
    top_p: float | None
    """Draw from the likeliest tokens that hold this share of the probability (Holtzman et al. 2020)."""
    top_k: int | None
    """Draw from this many of the likeliest tokens."""
    seed: int | None
    """The same seed draws the same answers; none draws new ones every time."""
    stop: Sequence[str] | str | None
    """Texts that end an answer and are not part of it; a single one needs no list."""
