"""All stored results, from which the pages are made."""

from dataclasses import dataclass, field

from backbone.record import stored
from backbone.record.stored import StoredModes, StoredScaling, StoredTimes
from backbone.record.stored_memory import StoredMemory
from backbone.record.titles import MAIN_NETWORK
from backbone.record.tools import PassesTried, Simulated, Trial


@dataclass(frozen=True)
class Results:
    """All stored results: times, modes (for each network and setting, those of all inputs), memory,
    scaling, and the results of the programs in tools/."""

    times: list[StoredTimes]
    modes: list[list[StoredModes]] = field(default_factory=list)
    memory: list[StoredMemory] = field(default_factory=list)
    scaling: list[StoredScaling] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    simulated: list[Simulated] = field(default_factory=list)
    passes: list[PassesTried] = field(default_factory=list)

    @property
    def main_network(self) -> list[StoredTimes]:
        """MobileNet-V2's times."""
        return stored.of_main_network(self.times)

    @property
    def modes_of_main_network(self) -> list[StoredModes]:
        """MobileNet-V2's modes, for each setting and input."""
        return stored.of_main_network(modes for inputs in self.modes for modes in inputs)

    @property
    def others(self) -> list[StoredTimes]:
        """All other networks' times."""
        return [entry for entry in self.times if entry.network != MAIN_NETWORK]

    @property
    def main_modes(self) -> list[list[StoredModes]]:
        """The modes of the first network, which is MobileNet-V2 if stored: for each setting, those
        of all inputs."""
        return [inputs for inputs in self.modes if inputs[0].network == self.modes[0][0].network]

    @property
    def other_modes(self) -> list[list[StoredModes]]:
        """The modes of all other networks, likewise."""
        return [inputs for inputs in self.modes if inputs[0].network != self.modes[0][0].network]

    @property
    def networks(self) -> list[StoredTimes]:
        """The times of all networks, without modes of MobileNet-V2 that change its arithmetic and
        that no other network has."""
        others = {entry.configuration for entry in self.others}
        return [
            entry for entry in self.times if entry.model.is_exact or entry.configuration in others
        ]
