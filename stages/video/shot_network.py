"""The network that finds shots: apart from the ways to find them, as only one of these needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcurate.errors import ConfigError
from hpcurate.model import Model, get_local_dir_for_weights_name

if TYPE_CHECKING:
    from stages.video.media.shots import Picture, Predict


class ShotNetwork(Model):
    """TransNetV2 with its published weights."""

    NAME = "transnetv2"
    device = "cpu"
    """Where it computes; the stage sets it."""
    threads = 1
    """Cores it may use; the stage sets them."""

    @property
    def model_id_names(self) -> list[str]:
        """Its entry in conf/models."""
        return [self.NAME]

    def setup(self) -> None:
        """Load it where the stage said. Raises ConfigError without torch."""
        try:
            import torch
        except ImportError:
            raise ConfigError(
                "detector=transnetv2 needs torch in the stage's environment; install it (`pip install torch`), name an "
                "environment that has it, or use detector=content"
            ) from None
        from stages.vision.networks.transnetv2 import load

        if self.device == "cpu":
            torch.set_num_threads(max(1, self.threads))
        self._network: Any = load(get_local_dir_for_weights_name(self.NAME), self.device)

    @property
    def predict(self) -> Predict:
        """Windows of small pictures become chances."""
        import torch

        def run(windows: Picture) -> Any:
            with torch.inference_mode():
                return self._network(torch.from_numpy(windows).to(self.device)).cpu().numpy()

        return run
