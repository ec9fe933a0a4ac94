"""The budget of a training: held while it runs, and kept by splitting batches before it begins."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from torch import nn

from convsmith.api.machine import memory
from convsmith.errors import UserError
from convsmith.planning.trace import Trace, trace
from convsmith.recipe.build import LAYOUTS, Parts, build_optimizer
from convsmith.recipe.schema import Recipe
from convsmith.sizes import in_words, parse_memory
from convsmith.training.checkpoint import load_checkpoint, save_checkpoint
from convsmith.training.device import resolve_device
from convsmith.training.evaluate import evaluate
from convsmith.training.fit import train_step
from convsmith.training.job import Job, State
from convsmith.training.memory import can_limit, keep_freed_memory, limited, out_of_memory, release
from convsmith.training.recompute import stages_of
from convsmith.training.snapshot import restore, snapshot
from convsmith.training.split import finer

__all__ = ["allowed_memory", "free_memory", "make_fit", "require_budget", "within_budget"]

Say = Callable[[str], None]
MARGIN = 0.05  # of the budget, left free when a step is tried


@contextmanager
def within_budget(recipe: Recipe, say: Say) -> Iterator[int | None]:
    """Hold the recipe's budget of memory, and say in one line if it runs out after all.

    Yields its bytes, None if there is no budget: a share is of what is free now. Without a budget,
    freed memory is kept for the next step, which is faster.
    """
    device = resolve_device(recipe.train.device)
    size = allowed_memory(recipe, device)
    keep_freed_memory(size is None)
    if size is not None:
        load_libraries()
        if not can_limit(device):
            say("note: this system cannot limit a process; budget.memory decides the micro-batch")
    try:
        with limited(device, size):
            yield size
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        if size is not None:
            raise UserError(
                f"the budget of {in_words(size)} is not enough for this training, all of "
                f"it considered; {thriftier(recipe)}"
            ) from error
        raise UserError(
            "there is not enough memory for this training; a smaller --batch-size takes less, and "
            "so do micro-batches of the same batch (--set train.accumulate=4); "
            "with --memory 90% they are chosen by themselves"
        ) from error


def load_libraries() -> None:
    """Load what PyTorch loads at first use, and make its threads: that is not the training's.

    Threads that cannot be made for want of memory would end the process.
    """
    tiny = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten())
    trace(tiny, lambda model: torch.optim.SGD(model.parameters()), (1, 2, 2), 2)
    tiny(torch.ones(2**14, 1, 2, 2)).sum().backward()
    torch.optim.SGD(tiny.parameters()).step()


def allowed_memory(recipe: Recipe, device: torch.device) -> int | None:
    """Return the bytes that the recipe's budget allows on a device; None if it has none.

    Raises:
        UserError: it is a share of what is free, and the system does not say what is.
    """
    said = parse_memory(recipe.budget.memory)
    if not isinstance(said, float):
        return said
    free = free_memory(device)
    if free is None:
        raise UserError(
            f"budget.memory: this system does not say what {recipe.budget.memory} of its free "
            "memory is; give a size such as 4GB"
        )
    return int(said * free)


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on a device, as far as the system says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return memory().available


def require_budget(recipe: Recipe, parts: Parts, model: nn.Module) -> None:
    """Raise UserError if the network has more parameters or FLOPs than the budget allows."""
    budget = recipe.budget
    count = sum(p.numel() for p in model.parameters())
    if budget.parameters is not None and count > budget.parameters:
        raise UserError(
            f"the network has {count:,} parameters, budget.parameters allows "
            f"{budget.parameters:,}; smaller widths have fewer (--set model.widths=…)"
        )
    if budget.flops is None:
        return
    flops = 2 * traced(recipe, model, parts, 1, ()).macs
    if flops > budget.flops:
        raise UserError(
            f"an image's forward pass takes {flops:,} FLOPs, budget.flops allows "
            f"{budget.flops:,.0f}; smaller widths or images take fewer"
        )


def traced(
    recipe: Recipe, model: nn.Module, parts: Parts, micro_batch: int, recompute: tuple[str, ...]
) -> Trace:
    """Return what a step of the recipe's network does and holds."""
    train = recipe.train
    return trace(
        model,
        partial(build_optimizer, recipe),
        (parts.train.channels, *parts.train.image_size),
        micro_batch,
        precision="fp32" if train.precision == "auto" else train.precision,
        memory_format=LAYOUTS.get(train.memory_format, torch.contiguous_format),
        recompute=recompute,
    )


def make_fit(
    recipe: Recipe, parts: Parts, job: Job, state: State, size: int | None, say: Say
) -> None:
    """Find the largest micro-batch that fits into ``size`` bytes, by making real steps; tell it.

    What is foreseen to be far too large is not tried. A step is tried with the optimizer's state
    allocated, and a validation step after it. Where ``gradient_checkpointing`` is ``auto``, more
    and more stages are computed again before the micro-batch is made smaller. Weights, statistics
    and the optimizer are left as they were; what was found is in ``state``.

    Raises:
        UserError: not even the smallest micro-batch fits; says what would take less.
    """
    if size is None:
        return
    wanted, best = job.accumulate, None
    chosen: tuple[str, ...] = ()
    with tempfile.TemporaryDirectory() as place:  # on the disk it takes no memory
        kept = save_checkpoint(Path(place), state.step, *snapshot(job, state))
        for recompute in ways(recipe, job):
            state.recompute = recompute
            state.accumulate = foreseen(recipe, parts, job, recompute, size)
            found = rehearse(job, state, int(MARGIN * size))
            job.optimizer.zero_grad(set_to_none=True)
            release(job.device)
            restore(job, state, *load_checkpoint(kept))
            if found is not None and (best is None or found < best):
                best, chosen = found, recompute
            if best == wanted:
                break
    if best is None:
        raise UserError(
            f"not even the smallest micro-batch of this network fits into {in_words(size)}; "
            f"{thriftier(recipe)}"
        )
    state.recompute, state.accumulate = chosen, best
    if best != wanted or chosen:
        say(f"note: to fit into {in_words(size)}, {told(job, state)}")


def foreseen(recipe: Recipe, parts: Parts, job: Job, recompute: tuple[str, ...], size: int) -> int:
    """Return the fewest micro-batches whose tensors alone do not already exceed the budget."""
    few, more = (traced(recipe, job.model, parts, n, recompute) for n in (8, 16))
    slope = (more.training_peak - few.training_peak) / 8
    batch = min(recipe.train.batch_size, len(parts.train))
    accumulate = job.accumulate
    while few.training_peak + slope * (-(-batch // accumulate) - 8) > size:
        smaller = finer(job.model, batch, accumulate)
        if smaller is None:
            break
        accumulate = smaller
    return accumulate


def ways(recipe: Recipe, job: Job) -> Sequence[tuple[str, ...]]:
    """Return the sets of stages to compute again that are tried, the smallest first."""
    stages = stages_of(job.model)
    mode = recipe.train.gradient_checkpointing
    if mode == "none":
        return [()]
    first = len(stages) if mode == "all" else 0  # the first stages hold the largest activations
    return [stages[:count] for count in range(first, len(stages) + 1)]


def rehearse(job: Job, state: State, margin: int) -> int | None:
    """Make two steps and a validation step with ``margin`` bytes less than there are.

    Return the micro-batches that it took; None if no number of them was enough.
    """
    try:
        ballast = torch.empty(margin, dtype=torch.uint8, device=job.device)
        if job.phases is not None:
            job.phases.begin(job.model, job.epochs - 1)  # when everything learns
        job.model.train()
        images, labels = next(job.batches.epoch(0, 0))
        for _ in range(2):
            train_step(job, state, images, labels)
        if job.validation is not None:
            first = [next(iter(job.validation))]
            evaluate(job.eval_model, first, job.loss, job.precision)
        del ballast
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return None
    return state.accumulate


def told(job: Job, state: State) -> str:
    """Return how the step is made to fit, in words."""
    words = []
    if state.recompute:
        verb = "is" if len(state.recompute) == 1 else "are"
        names = ", ".join(state.recompute)
        words.append(f"{names} {verb} computed again in the backward pass")
    if state.accumulate != job.accumulate:
        words.append(f"each batch is made of {state.accumulate} micro-batches")
        if any(isinstance(each, nn.modules.batchnorm._BatchNorm) for each in job.model.modules()):
            words.append("whose images alone BatchNorm sees (model.norm=group sees no batch)")
    return ", ".join(words)


def thriftier(recipe: Recipe) -> str:
    """Return what would take less memory than the recipe does."""
    ideas = []
    if recipe.train.gradient_checkpointing == "none":
        ideas.append("--set train.gradient_checkpointing=auto")
    if recipe.train.precision == "fp32":
        ideas.append("--precision bf16")
    if "widths" in recipe.model.options:
        ideas.append("smaller model.widths")
    if recipe.data.image_size is not None:
        ideas.append("a smaller data.image_size")
    return f"less is taken by {', '.join(ideas)}" if ideas else "give it more"
