"""All commands: where they are, the first line of their help, and their place in the help of jitkit."""

from __future__ import annotations

from jitkit.cli.lazy import Member

TRAIN, USE, INSPECT = "Train and evaluate", "Use a model", "Look closer"

COMMANDS = {
    "train": Member("jitkit.cli.train:train", "Train a model, or resume training.", TRAIN),
    "eval": Member(
        "jitkit.cli.evaluate:evaluate",
        "Evaluate a model on held-out text, and compare with a context-free baseline.",
        TRAIN,
    ),
    "ablate": Member(
        "jitkit.cli.ablate:ablate",
        "Train and evaluate a manifest under every setting of a grid, with several seeds.",
        TRAIN,
    ),
    "compare": Member(
        "jitkit.cli.compare:compare", "Compare runs: differing manifest keys, metrics, curves, and texts.", TRAIN
    ),
    "frontier": Member(
        "jitkit.cli.frontier:frontier",
        "Score samples over a grid of sampler settings, with real text and simple baselines for comparison.",
        TRAIN,
    ),
    "lm-eval": Member(
        "jitkit.cli.lm_eval:lm_eval",
        "Evaluate a model on tasks of lm-evaluation-harness (extra: lm-eval).",
        TRAIN,
        foreign_options=True,
    ),
    "generate": Member("jitkit.cli.generate:generate", "Generate texts. The same seed gives the same text.", USE),
    "encode": Member(
        "jitkit.cli.pictures:encode",
        "Encode a text as numbered PNG images, with the tokenizer and codec of a model.",
        USE,
    ),
    "decode": Member("jitkit.cli.pictures:decode", "Decode a text from its images, byte for byte.", USE),
    "export": Member(
        "jitkit.cli.export:export",
        "Export a checkpoint as model.safetensors, manifest.toml, tokenizer, README.md, and SHA256SUMS.",
        USE,
    ),
    "push": Member("jitkit.cli.push:push", "Upload a model to the Hugging Face Hub.", USE),
    "pull": Member(
        "jitkit.cli.pull:pull", "Download a model from the Hugging Face Hub, and print the folder that holds it.", USE
    ),
    "bench": Member(
        "jitkit.cli.bench:bench",
        "Benchmark training, sampling, tokenization, and checkpoints on this machine, and compare with its peak performance.",
        INSPECT,
    ),
    "plan": Member("jitkit.cli.plan:plan", "Predict memory, step time, and cost of training on many devices.", INSPECT),
    "codec": Member(
        "",
        "Compare codecs, and fit codewords to a text.",
        INSPECT,
        {
            "list": Member("jitkit.cli.codec:list_codecs", "List the codecs."),
            "inspect": Member(
                "jitkit.cli.codec:inspect",
                "Measure codecs: margin, robustness to noise, and the context-free baseline that a model must beat.",
            ),
            "fit": Member(
                "jitkit.cli.codec:fit",
                "Fit codewords to a text for the codec `table`, so that similar tokens get similar colors.",
            ),
        },
    ),
    "checkpoint": Member(
        "",
        "Turn checkpoint folders into files and back, and verify checkpoints.",
        INSPECT,
        {
            "pack": Member(
                "jitkit.cli.checkpoint:pack",
                "Combine a checkpoint folder, which several processes saved, into one `.pth` file.",
            ),
            "unpack": Member(
                "jitkit.cli.checkpoint:unpack", "Write a `.pth` checkpoint as a folder, as if one process had saved it."
            ),
            "check": Member("jitkit.cli.checkpoint:check", "Verify that checkpoints are complete and undamaged."),
        },
    ),
    "tokenizer": Member(
        "",
        "Train and inspect tokenizers.",
        INSPECT,
        {
            "train": Member(
                "jitkit.cli.tokenizer:train", "Train a byte-pair vocabulary and write it as a `.tiktoken` file."
            ),
            "inspect": Member(
                "jitkit.cli.tokenizer:inspect",
                "Show a vocabulary and its statistics on texts: tokens, bytes per token, round trip, first pieces.",
            ),
        },
    ),
    "data": Member(
        "",
        "Tokenize text, and inspect it as the model sees it.",
        INSPECT,
        {
            "prepare": Member(
                "jitkit.cli.data:prepare", "Tokenize the text of a manifest into the cache, for later training."
            ),
            "check": Member(
                "jitkit.cli.data:check",
                "Read the prepared text of a manifest and its corpus, and report any damage or change.",
            ),
            "inspect": Member(
                "jitkit.cli.data:inspect",
                "Show the number of documents, tokens, and windows per split, and the first window as text.",
            ),
            "example": Member("jitkit.cli.data:example", "Print a short story to try jitkit on."),
        },
    ),
    "zoo": Member(
        "",
        "List, print, and check manifests.",
        INSPECT,
        {
            "list": Member("jitkit.cli.zoo:list_models", "List the models of the zoo."),
            "show": Member("jitkit.cli.zoo:show", "Print a manifest file."),
            "check": Member(
                "jitkit.cli.zoo:check",
                "Validate manifests, build their networks without allocating memory, and count parameters.",
            ),
            "schema": Member("jitkit.cli.zoo:schema", "Print the JSON Schema of manifests, for editors."),
        },
    ),
    "plugins": Member(
        "",
        "List, check, and create plugins.",
        INSPECT,
        {
            "list": Member(
                "jitkit.cli.plugins:list_plugins", "List the installed plugins and the hooks they implement."
            ),
            "check": Member("jitkit.cli.plugins:check", "Run conformance tests on components."),
            "new": Member(
                "jitkit.cli.plugins:new",
                "Create a plugin: a package with a component that works, its tests, and its CI.",
            ),
        },
    ),
}
