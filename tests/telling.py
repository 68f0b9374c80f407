"""Progress that is kept instead of shown."""

from spikeduel.system.progress import Progress


class Telling(Progress):
    """`lines` has all that was said, details too; `messages` what is said without `--verbose`."""

    def __init__(self):
        self.lines, self.messages, self.details, self.epochs, self.done = [], [], [], [], []

    def say(self, text):
        self.lines.append(text)
        self.messages.append(text)

    def detail(self, text):
        self.lines.append(text)
        self.details.append(text)

    def epoch(self, title, epochs, num_epochs):
        self.epochs.append((title, [epoch["val_accuracy"] for epoch in epochs], num_epochs))

    def finished(self, title, text):
        self.done.append((title, text))
        if text:
            self.lines.append(f"  {title}: {text}")

    @property
    def trained(self):
        """The number of epochs that were trained."""
        return len(self.epochs)

    @property
    def found(self):
        """The number of trials that were found in the store."""
        return sum("not trained again" in line for line in self.details)


class Interrupting(Progress):
    """Raises what Ctrl-C raises, before the given step."""

    def __init__(self, step):
        self.step = step

    def track(self, items, description, total=None):
        for item in items:
            if item == self.step:
                raise KeyboardInterrupt
            yield item
