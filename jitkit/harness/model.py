"""The model of lm-evaluation-harness: its answers to the three kinds of requests."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, Protocol, Self, TypeVar

from jitkit.api.model import load
from jitkit.api.options import shown
from jitkit.errors import UsageError
from jitkit.harness.arguments import GenerationOptions, ModelArguments
from jitkit.harness.generation import Continuation, complete
from jitkit.harness.likelihood import log_likelihoods
from jitkit.harness.windows import Windows, windows_of

LOG = logging.getLogger("lm_eval.jitkit")  # below the harness's own, which prints it
BOUND = "lower bound of log p (variational, mean of {draws} draws): perplexities and bits are upper bounds"
NEVER_GREEDY = "always false, because a bound does not tell: metrics that use it, such as acc of LAMBADA, are 0"

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Request(Protocol):
    """What jitkit reads of a request of the harness."""

    task_name: str | None
    doc_id: int | None

    @property
    def args(self) -> tuple[Any, ...]:
        """The texts and options of the request."""


class HarnessModel:
    """Answers the requests of lm-evaluation-harness. `register` combines it with the harness's own class."""

    cache_hook: Any  # from the harness: keeps the answers of an interrupted evaluation, with --use_cache

    def __init__(self, **arguments: Any) -> None:
        """Load the model. Raises UsageError for invalid arguments, and the errors of `jitkit.load`."""
        super().__init__()
        self.arguments = ModelArguments.parse(arguments)
        self.model = load(self.arguments.path, self.arguments.device, note=LOG.warning)
        self._num_generated = Counter[str]()  # of each prompt, so that repeats of a request differ
        self._logged = set[str]()

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: Mapping[str, Any], additional_config: Mapping[str, Any] | None = None
    ) -> Self:
        """Return the model for `--model_args`, which win over the harness's own options."""
        return cls(**{**(additional_config or {}), **arg_dict})

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: Mapping[str, Any] | None = None) -> Self:
        """Return the model for the text of `--model_args`."""
        from lm_eval.utils import simple_parse_args_string

        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    def get_model_info(self) -> dict[str, Any]:
        """Return what the harness writes into the `config` of its results."""
        opened, arguments = self.model.opened, self.arguments
        return {
            "model_id": self.model.id,
            "model_sha256": opened.sha256,
            "model_step": self.model.step,
            "loglikelihood": BOUND.format(draws=arguments.draws),
            "is_greedy": NEVER_GREEDY,
            **{f"model_{name}": getattr(arguments, name) for name in ("seed", "steps", "draws")},
        }

    def loglikelihood(self, requests: Sequence[Request], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return for each (context, continuation) a lower bound of the continuation's log p, and False.

        The context is known. Raises InputError if the model cannot bound the likelihood of a request.
        """
        self._log(f"is_greedy is {NEVER_GREEDY}")
        return self._bounds("loglikelihood", requests, disable_tqdm, lambda nats: (nats, False))

    def loglikelihood_rolling(self, requests: Sequence[Request], disable_tqdm: bool = False) -> list[float]:
        """Return for each (text,) a lower bound of its log p. Raises InputError if the model cannot bound it."""
        return self._bounds("loglikelihood_rolling", requests, disable_tqdm, float)

    def generate_until(self, requests: Sequence[Request], disable_tqdm: bool = False) -> list[str]:
        """Return for each (context, options) the generated continuation, up to the first stop sequence.

        Raises UsageError for invalid options, and InputError if the model does not accept prompts.
        """
        continuations = [self._continuation(*request.args) for request in requests]
        if any(one.prompt for one in continuations):
            self.model.pipeline.require_known()
        size, steps = self.arguments.batch_size, self.arguments.steps

        def answer(batch: Sequence[Continuation]) -> list[str]:
            return complete(self.model.pipeline, batch, steps=steps, batch_size=size)

        return self._in_batches("generate_until", requests, continuations, answer, disable_tqdm)

    @property
    def tokenizer_name(self) -> str:
        """The name under which the harness caches requests."""
        return self.model.id

    def chat_template(self, chat_template: bool | str = False) -> str:
        """Return "". Raises UsageError if a chat template is requested."""
        return self.apply_chat_template() if chat_template else ""

    def apply_chat_template(self, *_: Any, **__: Any) -> NoReturn:
        """Raise UsageError."""
        raise UsageError("--apply_chat_template", "none: the model has no chat template", field="lm-eval")

    def _bounds(
        self, kind: str, requests: Sequence[Request], quiet: bool, answer_of: Callable[[float], Answer]
    ) -> list[Answer]:
        """Return the answers that follow from the bound of each request. All are checked before any is computed."""
        arguments, pipeline = self.arguments, self.model.pipeline
        texts = []
        for request in requests:
            *context, text = request.args
            field = f"document {request.doc_id} of {request.task_name}"
            texts.append(windows_of(pipeline, context[0] if context else "", text, field=field))
        if any(text.known.any() for text in texts):
            pipeline.require_known()
        self._log(f"{kind} is a {BOUND.format(draws=arguments.draws)}")

        def answer(batch: Sequence[Windows]) -> list[Answer]:
            size = arguments.batch_size
            nats = log_likelihoods(self.model, batch, seed=arguments.seed, draws=arguments.draws, batch_size=size)
            return [answer_of(each) for each in nats]

        return self._in_batches(kind, requests, texts, answer, quiet)

    def _in_batches(
        self,
        kind: str,
        requests: Sequence[Request],
        questions: Sequence[Question],
        answer: Callable[[Sequence[Question]], list[Answer]],
        quiet: bool,
    ) -> list[Answer]:
        """Return all answers, and pass them to the harness's cache as soon as they are known."""
        answers: list[Answer] = []
        with shown(not quiet) as show:
            while len(answers) < len(questions):
                show(kind, len(answers), len(questions))
                start = len(answers)
                answers += answer(questions[start : start + self.arguments.batch_size])
                for request, each in zip(requests[start : len(answers)], answers[start:], strict=True):
                    self.cache_hook.add_partial(kind, request.args, each)
            show(kind, len(answers), len(questions))
        return answers

    def _continuation(self, context: str, options: Mapping[str, Any]) -> Continuation:
        parsed = GenerationOptions.parse(options)
        if parsed.ignored:
            self._log(
                f"ignored options of generate_until: {', '.join(parsed.ignored)}. The model's own sampler generates."
            )
        prompt = self.model.pipeline.tokenizer.encode(context)
        repeat = self._num_generated[context]
        self._num_generated[context] += 1
        return Continuation(prompt, parsed.until, parsed.max_tokens, (self.arguments.seed, repeat))

    def _log(self, message: str) -> None:
        """Log a message once."""
        if message not in self._logged:
            self._logged.add(message)
            LOG.warning(message)
