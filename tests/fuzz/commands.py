"""The command line with odd words, paths and settings."""

from collections.abc import Sequence

from tests.app.commands.workplace import QUIET

# Commands that are right, in a folder that `files.fill` filled, each quick.
COMMANDS: dict[str, list[str]] = {
    "sample": [
        "sample", "--prior=./score", "--sampler=DDNM:steps=3", "--num_samples=2", "--measurement=y.npy",
        "--operator=half:keep=top", "--noise_std=1", "--seed=0", "--batch_size=4", "--out=sampled", QUIET,
    ],
    "sample an image": [
        "sample", "--prior=./score", "--sampler=TemperedSMC:accuracy=fast,population=8", "--num_samples=2",
        "--image=pictures/0.png", "--operator=downsampling:factor=2", "--likelihood=gaussian:noise_std=1",
        "--resize=true", "--gray=true", "--out=sampled-image", QUIET,
    ],
    "solve": [
        "solve", "--prior=./generator", "--solver=CSGM:restarts=2,steps=3", "--measurement=y.npy",
        "--operator=half:keep=top", "--noise_std=1", "--out=solved", QUIET,
    ],
    "run": [
        "run", "job.yaml", "--prior=./score", "--operator=half:keep=top", "--likelihood=gaussian:noise_std=1",
        "--data=pictures:path=images.npy,labels=labels.txt", "--set=classifier=./classifier",
        "--methods=DDNM:steps=3", "--num_samples=2", "--seed=0", "--batch_size=4",
        "--shard_size=2", "--keep_samples=true", "--set=operator.keep=left", "--rank=0", "--world_size=1",
        "--engine=local", "--out=ran", QUIET,
    ],
    "report": ["report", "finished", "--ids=[0,1]", "--allow_code=false", "--out=page.html"],
    "study analyse": ["study", "analyse", "study.yaml"],
    "mri recon": [
        "mri", "recon", "scan.h5", "--prior=./complex", "--accuracy=fast", "--num_samples=2", "--matrix=[12,12]",
        "--window=false", "--slices=[0]", "--maps=maps.cfl", "--batch=1", "--batch_size=4", "--seed=0", "--out=recon",
        QUIET,
    ],
    "mri simulate": [
        "mri", "simulate", "volume.nii.gz", "--num_coils=2", "--mask=random", "--acceleration=2", "--calibration=1",
        "--snr=30", "--matrix=[2,2]", "--slices=[0]", "--seed=0", "--out=simulated.h5",
    ],
    "mri coils": ["mri", "coils", "scan.h5", "--out=coils.cfl"],
    "calibrate": [
        "calibrate", "--prior=./score", "--sampler=DDNM:steps=3", "--operator=half:keep=top", "--noise_std=1",
        "--num_problems=2", "--num_samples=2", "--thin=1", "--batch=2", "--out=calibrated", QUIET,
    ],
    "check": [
        "check", "y.npy", "--prior=./score", "--sampler=DDNM:steps=3", "--operator=half:keep=top", "--noise_std=1",
        "--num_problems=19", "--num_samples=2", "--out=checked", QUIET,
    ],
    "fairness": [
        "fairness", "--prior=./generator", "--classifier=./classifier", "--operators=[half:keep=top]",
        "--noise_std=[1]", "--methods=[PULSE]", "--images=pictures", "--num_images=2",
        "--num_samples=2", "--out=fair", QUIET,
    ],
    "theory": [
        "theory", "--prior=./generator", "--num_measurements=[4]", "--num_pairs=2", "--num_problems=1", "--steps=1",
        "--restarts=1", "--outside=0.1", "--noise_std=0.1", "--out=theory", QUIET,
    ],
    "train score": [
        "train", "score", "--data=x.npz", "--out=trained", "--widths=[8]", "--blocks=1", "--patch=1", "--dropout=0.0",
        "--steps=1", "--batch_size=2", "--learning_rate=0.001", "--held_out=0", QUIET,
    ],
    "train vae": [
        "train", "vae", "--data=x.npz", "--out=trained-vae", "--latent=2", "--hidden=4", "--steps=1", "--batch_size=2",
        "--learning_rate=0.001", QUIET,
    ],
    "train flow": [
        "train", "flow", "--data=x.npz", "--out=trained-flow", "--levels=[1]", "--widths=[4]", "--dense=1",
        "--dense_width=4", "--dropout=0.0", "--steps=1", "--batch_size=2", QUIET,
    ],
    "train mri": [
        "train", "mri", "--data=bytes.npy", "--validation=bytes.npy", "--out=trained-mri", "--network=unet",
        "--mask=random", "--acceleration=2", "--calibration=2", "--snr=20", "--num_coils=2", "--steps=1",
        "--batch_size=1", "--learning_rate=0.001", QUIET,
    ],
    "priors check": [
        "priors", "check", "./score", "--levels=[0.5]", "--steps=3", "--num_images=2", "--num_draws=2", QUIET,
    ],
    "priors show": ["priors", "show", "digits"],
    "priors list": ["priors", "list"],
    "data cifar10": ["data", "cifar10", "weights.pth", "cifar"],
    "priors convert edm": ["priors", "convert", "edm", "weights.pth", "converted"],
}  # fmt: skip

# What takes the place of an option's value, or of a word.
WORDS = [
    "", " ", "None", "null", "nan", "inf", "-inf", "-1", "0", "1", "2.5", "1e30", "1e-30", "10**3", "true", "[]", "[1]",
    "[nan]", "[[1]]", "{}", "{a: 1}", "{", "a,b", "a=b", ":", "::", "x:y=z", "*", "&a *a", "!!python/object:os.system",
    "text", ".", "/dev/null", "nowhere.npy", "y.npy", "nan.npy", "counts.npy", "bytes.npy", "complex.npy",
    "one.npy", "everywhere.npy", "images.npz", "samples.npz", "weights.pth", "pictures", "large.png", "score",
    "./score", "generator", "score/config.json", "digits", "half", "half:keep=middle", "half:keep=top,keep=left",
    "random:fraction=nan", "random:fraction=2", "gaussian:num_measurements=0", "gaussian:num_measurements=1e9",
    "mask:path=y.npy", "mask:path=nowhere.npy", "matrix:path=y.npy", "matrix:path=images.npz", "box:top=1",
    "downsampling:factor=3", "gaussian-blur:std=-1", "motion-blur:length=1e9,angle=0", "identity", "grayscale",
    "composition:outer=half,inner=half", "stack:operators=[half]", "magnitude:operator=identity", "DDNM", "DPS:steps=2",
    "DPS:steps=nan", "DPS:steps=2.5", "DPS:step_size=-1", "DPS:steps", "DPS:,", "DPS:nothing=1", "CSGM:restarts=0",
    "PULSE:restarts=1,steps=1", "TemperedSMC:population=1", "ILO:layers=3", "Lasso:basis=haar",
    "poisson:gain=-1,background=1", "poisson:gain=1", "gaussian", "one-bit:noise_std=1", "laplace:scale=nan",
    "student-t:scale=1,degrees=0", "saturated:noise_std=1,low=2,high=1", "9" * 30, "1000000000000",
    "\x00", "é", "--help", "--seed",
]  # fmt: skip


# No option takes these, but for the name of a folder to write to.
NEVER = {
    "nan", "inf", "-inf", "1e30", "[nan]", "[[1]]", "text", "a,b", "x:y=z", "nowhere.npy", "nan.npy", "counts.npy",
    "bytes.npy", "complex.npy", "one.npy", "everywhere.npy", "weights.pth", "half:keep=middle", "random:fraction=nan",
    "random:fraction=2", "gaussian:num_measurements=0", "downsampling:factor=3", "gaussian-blur:std=-1",
    "DPS:steps=nan", "DPS:steps=2.5", "DPS:step_size=-1", "DPS:nothing=1", "CSGM:restarts=0",
    "TemperedSMC:population=1", "poisson:gain=-1,background=1", "poisson:gain=1", "laplace:scale=nan",
    "student-t:scale=1,degrees=0", "saturated:noise_std=1,low=2,high=1", "&a *a", "!!python/object:os.system",
}  # fmt: skip


def altered(words: Sequence[str], place: int, word: str) -> list[str]:
    """A command with the value of the option at a place, or the word there, replaced."""
    place %= len(words)
    option, equals, _ = words[place].partition("=")
    new = f"{option}={word}" if equals else word
    return [*words[:place], new, *words[place + 1 :]]


# Ways in which a command can be mistyped, beside its values.
MISTYPED = {
    "twice": lambda words, place: [*words, words[place % len(words)]],
    "the value apart": lambda words, place: [part for word in words for part in word.split("=", 1)],
    "a letter less": lambda words, place: [w[:-1] if i == place % len(words) else w for i, w in enumerate(words)],
    "turned round": lambda words, place: words[::-1],
    "with a config": lambda words, place: [words[0], ["y.npy", "nowhere.yaml", "bad.yaml", "list.yaml"][place % 4]],
}
