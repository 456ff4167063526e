"""The loop: what it learns, where it stops, and that interruptions change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tunesmith.callbacks.ema import Ema, EmaOptions
from tunesmith.core.errors import Diverged, RunFailed, Stopped
from tunesmith.core.events import Decided, Evaluated, Paused, RolledBack, Saved, Step
from tunesmith.engine.loop import train
from tunesmith.engine.setup import Callback


def weights(setup):
    return {name: parameter.detach().clone() for name, parameter in setup.model.named_parameters()}


def same(left, right):
    return all(torch.equal(left[name], right[name]) for name in left)


class Kill(Exception):
    pass


class Listener(Callback):
    """A callback without options."""

    def __init__(self):
        pass


class KillAt(Callback):
    """Dies after a step, as a process that is killed: nothing is saved on the way out."""

    def __init__(self, step):
        self.at = step

    def on_step(self, state, event):
        if state.step == self.at:
            raise Kill


def test_training_lowers_the_loss_and_reports_every_step(make_setup):
    setup, events = make_setup()
    state = train(setup)
    steps = [event for event in events if isinstance(event, Step)]
    losses = [event.metrics["loss"] for event in events if isinstance(event, Evaluated)]
    assert [event.step for event in steps] == list(range(1, 37))
    assert state.step == 36
    assert state.rows == 3 * 48
    assert len(losses) == 4  # before the first step, and after each epoch
    assert losses[-1] < 0.8 * losses[0]


def test_the_best_weights_are_the_ones_that_stay(make_setup):
    setup, events = make_setup(learning_rate=None)
    setup.groups[0].parameters  # noqa: B018 - shown: one group

    # from the second epoch on, a rate that destroys what was learned
    class Spoil(Listener):
        def on_step(self, state, event):
            if state.step >= 12:
                with torch.no_grad():
                    setup.model.head.weight.add_(torch.randn_like(setup.model.head.weight) * 5)

    setup.callbacks.append(Spoil())
    state = train(setup)
    found = {event.step: event.metrics["loss"] for event in events if isinstance(event, Evaluated)}
    best = min(found, key=found.get)
    assert state.best_step == best
    assert best < state.step
    assert setup.evaluate()["loss"] == pytest.approx(found[best], abs=1e-6)
    [kept] = [event for event in events if isinstance(event, Decided) and event.what == "kept_step"]
    assert kept.value == best
    assert f"ended at step {state.step} of 36" in kept.why


@pytest.mark.parametrize("kill_at", [1, 5, 12, 13, 30])
def test_interrupted_equals_uninterrupted_bit_for_bit(make_setup, kill_at):
    whole, _ = make_setup("whole", save_steps=3)
    train(whole)

    broken, _ = make_setup("broken", save_steps=3, callbacks=[KillAt(kill_at)])
    with pytest.raises(Kill):
        train(broken)
    again, events = make_setup("broken", save_steps=3)
    train(again)

    first = next(event.step for event in events if isinstance(event, Step))
    assert kill_at - 3 <= first - 1 <= kill_at  # at most save_steps lost
    assert same(weights(whole), weights(again))


@pytest.mark.parametrize("kill_at", [8, 12, 13, 24, 25, 35])
def test_stages_begin_where_they_did_before_the_interruption(make_setup, kill_at):
    losses = {0: 3.0, 12: 2.0, 24: 2.5, 36: 2.6}

    class Clock(Listener):
        def on_start(self, state):
            self.step = state.step

        def on_step(self, state, event):
            self.step = state.step

    def staged(name, **words):
        clock = Clock()
        setup, events = make_setup(name, save_steps=3, callbacks=[clock, *words.pop("callbacks", [])], **words)
        setup.evaluate = lambda: {"loss": losses[clock.step]}
        setup.stage = lambda epoch, before, stalled: before + (stalled and epoch > 0)
        setup.on_stage = lambda stage: (setup.model.head.weight.requires_grad_(stage > 0), stage > 0)[1]
        return setup, events

    whole, events = staged("whole")
    train(whole)
    assert [event.value for event in events if isinstance(event, Decided) and event.what == "stage"] == [1]

    broken, _ = staged("broken", callbacks=[KillAt(kill_at)])
    with pytest.raises(Kill):
        train(broken)
    again, _ = staged("broken")
    train(again)
    assert same(weights(whole), weights(again))


class Follow(Ema):
    """The weights after every step."""

    def __init__(self, **options):
        self.options, self.seen = EmaOptions(**options), []

    def on_weights(self, weights, step):
        super().on_weights(weights, step)
        self.seen.append({name: one.detach().clone() for name, one in weights.items()})


def test_a_moving_average_is_judged_and_handed_over_whatever_interrupts(make_setup):
    follow = Follow(ema_decay=0.5)
    setup, events = make_setup("whole", callbacks=[follow])
    train(setup)
    average = follow.seen[0]
    for step, seen in enumerate(follow.seen[1:], 2):
        kept = min(0.5, (1 + step) / (10 + step))
        average = {name: kept * average[name] + (1 - kept) * seen[name] for name in seen}
    best = max(one.step for one in events if isinstance(one, Evaluated) and one.best)
    if best == len(follow.seen):
        assert all(torch.allclose(average[name], one, atol=1e-6) for name, one in weights(setup).items())
    assert not same(weights(setup), follow.seen[-1])
    kept = weights(setup)
    losses = [one.metrics["loss"] for one in events if isinstance(one, Evaluated)]
    setup, _ = make_setup("cut", callbacks=[Follow(ema_decay=0.5), KillAt(20)])
    with pytest.raises(Kill):
        train(setup)
    setup, events = make_setup("cut", callbacks=[Follow(ema_decay=0.5)])
    train(setup)
    assert same(weights(setup), kept)
    assert [one.metrics["loss"] for one in events if isinstance(one, Evaluated)] == losses[2:]


def test_a_signal_saves_and_stops_and_the_rest_is_the_same(make_setup):
    whole, _ = make_setup("whole")
    train(whole)

    stopped, events = make_setup("stopped")

    class Ask(Listener):
        def on_step(self, state, event):
            if state.step == 8:
                stopped.stop.signal = "SIGTERM"

    stopped.callbacks.append(Ask())
    with pytest.raises(Stopped) as caught:
        train(stopped)
    assert caught.value.exit_code == 130
    assert isinstance(events[-1], Paused)
    assert any(isinstance(event, Saved) and event.step == 8 for event in events)

    again, events = make_setup("stopped")
    train(again)
    assert next(event.step for event in events if isinstance(event, Step)) == 9
    assert same(weights(whole), weights(again))


class NanOnce(Callback):
    """Puts one NaN where it is told to, the first `times` times that the step comes by."""

    def __init__(self, where, step=6, times=1):
        self.where, self.step, self.left, self.model = where, step, times, None

    def _now(self):
        self.left -= 1
        return self.left >= 0

    def on_loss(self, model, loss, share):
        self.model = model
        if self.where == "loss" and self.seen == self.step - 1 and self._now():
            return loss * float("nan")
        if self.where == "gradient" and self.seen == self.step - 1 and self._now():
            hook = model.head.weight.register_hook(lambda grad: (hook.remove(), grad * float("nan"))[1])
        return loss

    seen = 0

    def on_step(self, state, event):
        self.seen = state.step
        if self.where == "weight" and state.step == self.step - 1 and self._now():
            with torch.no_grad():
                self.model.head.weight[0, 0] = float("nan")

    def on_start(self, state):
        self.seen = state.step


@pytest.mark.parametrize("where", ["loss", "gradient", "weight"])
def test_one_nan_rolls_back_and_training_goes_on(make_setup, where):
    setup, events = make_setup(callbacks=[NanOnce(where)], save_steps=2)
    seen = setup.callbacks[0]
    state = train(setup)
    rolled = [event for event in events if isinstance(event, RolledBack)]
    assert len(rolled) == 1
    assert rolled[0].step == 6  # found in the very step
    assert rolled[0].to_step == 4
    assert rolled[0].learning_rate_factor == 0.5
    assert rolled[0].row_ids
    assert all(row >= 1000 for row in rolled[0].row_ids)
    assert state.step == 36
    assert seen.left < 0 or seen.left == 0
    assert all(torch.isfinite(tensor).all() for tensor in weights(setup).values())


def test_nan_in_the_data_fails_after_two_halvings_and_names_the_rows(make_setup):
    setup, events = make_setup(save_steps=2)
    setup.objective.rows.features[17, 2] = np.nan
    setup.evaluate = lambda: {"loss": 1.0}
    with pytest.raises(Diverged) as caught:
        train(setup)
    assert 1017 in caught.value.row_ids
    assert "1017" in str(caught.value)
    assert caught.value.exit_code == 3
    rolled = [event.learning_rate_factor for event in events if isinstance(event, RolledBack)]
    assert rolled == [0.5, 0.25]


@pytest.mark.parametrize(("step", "what"), [(4, "weight head.weight"), (8, "validation loss")])
def test_what_a_step_left_behind_is_that_steps_and_its_rows(make_setup, step, what):
    setup, events = make_setup(callbacks=[NanOnce("weight", step=step + 1, times=9)], save_steps=4, eval_steps=8)
    model = setup.model
    setup.evaluate = lambda: {"loss": float(model.head.weight.detach().sum())}
    with pytest.raises(Diverged, match=f"at step {step}: the {what} stopped") as caught:
        train(setup)
    assert caught.value.step == step
    assert caught.value.row_ids
    rolled = [event for event in events if isinstance(event, RolledBack)]
    assert [(event.step, event.row_ids) for event in rolled] == [(step, caught.value.row_ids)] * 2


def test_no_checkpoint_holds_a_nan(make_setup):
    setup, _ = make_setup(callbacks=[NanOnce("weight", step=4)], save_steps=1)
    train(setup)
    for path in setup.checkpoints.folder.glob("step-*"):
        tensors, _ = setup.checkpoints.load(path)
        assert all(torch.isfinite(tensor).all() for tensor in tensors["trainable"].values())


def test_a_base_model_that_is_not_finite_is_refused_before_the_first_step(make_setup):
    setup, _ = make_setup()
    setup.evaluate = lambda: {"loss": float("nan")}
    with pytest.raises(RunFailed, match="before the first step"):
        train(setup)


def leave_memory_for_one_row(model):
    """Training steps on more than one row run out of memory."""
    forward = model.forward

    def limited(batch):
        if len(batch["features"]) > 1 and model.training:
            raise torch.OutOfMemoryError("no more")
        return forward(batch)

    model.forward = limited


def test_out_of_memory_halves_and_accumulates_to_the_same_gradients(make_setup):
    whole, _ = make_setup("whole", epochs=1)
    whole.model.dropout.p = 0.0
    train(whole)

    tight, events = make_setup("tight", epochs=1)
    tight.model.dropout.p = 0.0
    leave_memory_for_one_row(tight.model)
    train(tight)
    parts = [event.value for event in events if isinstance(event, Decided) and event.what == "batch_parts"]
    assert parts == [2, 4]
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(weights(tight)[name], tensor, atol=1e-6, rtol=1e-5)


def test_a_single_row_that_does_not_fit_is_an_error_with_a_way_out(make_setup):
    setup, _ = make_setup()

    def never(batch):
        if setup.model.training:
            raise torch.OutOfMemoryError("no more")
        return torch.zeros(len(batch["features"]), 3)

    setup.model.forward = never
    with pytest.raises(RunFailed, match="max_length"):
        train(setup)


def test_accumulation_equals_one_large_batch(make_setup):
    large, _ = make_setup("large", epochs=2)
    large.objective.batch_rows = 48
    large.model.dropout.p = 0.0
    train(large)
    small, _ = make_setup("small", epochs=2, gradient_accumulation=12)
    small.model.dropout.p = 0.0
    train(small)
    for name, tensor in weights(large).items():
        torch.testing.assert_close(weights(small)[name], tensor, atol=1e-5, rtol=1e-4)


def test_max_steps_ends_in_the_middle_of_an_epoch(make_setup):
    setup, events = make_setup(max_steps=7)
    assert train(setup).step == 7
    assert isinstance(events[-1], Saved | Evaluated)


def test_checkpoints_do_not_pile_up(make_setup):
    setup, _ = make_setup(epochs=5, save_steps=1)
    state = train(setup)
    kept = sorted(path.name for path in setup.checkpoints.folder.glob("step-*"))
    assert len(kept) <= 3
    assert f"step-{state.best_step:08d}" in kept


def test_a_full_disk_pauses_with_the_last_checkpoint_intact(make_setup, monkeypatch):
    import errno

    setup, events = make_setup(save_steps=2)
    save, calls = setup.checkpoints.save, []

    def full(step, tensors, state):
        calls.append(step)
        if step == 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        return save(step, tensors, state)

    monkeypatch.setattr(setup.checkpoints, "save", full)
    with pytest.raises(Stopped) as caught:
        train(setup)
    assert caught.value.reason == "disk_full"
    assert events[-1] == Paused(6, "disk_full")
    assert setup.checkpoints.newest().name == "step-00000004"


def test_what_is_compared_in_a_batch_is_computed_again_before_it_is_torn_apart(make_setup):
    setup, events = make_setup("compared", epochs=1)
    objective = setup.objective
    able = [True, False, False]

    class Compared(type(objective)):
        compares = True

        def spare(self, model):
            return able.pop(0)

    objective.__class__ = Compared

    leave_memory_for_one_row(setup.model)
    train(setup)
    told = [event for event in events if isinstance(event, Decided) and event.what in ("states_kept", "batch_parts")]
    assert [event.value for event in told] == [False, 2, 4]
    assert "the result is the same" in told[0].why
    assert "the result is not that of whole batches" in told[1].why
