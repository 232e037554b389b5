"""Every wrong override is refused in one line that begins with the key and says what would do."""

import pytest

from cnnlab.config import ConfigError, compose
from cnnlab.errors import CnnlabError

# overrides (several with |), how the message begins, what it also says
WRONG = [
    ("optimzer.momentum=1", "optimzer.momentum: no such key", "did you mean optimizer.momentum?"),
    ("optimizer.momentun=1", "optimizer.momentun: no such key", "optimizer.momentum?"),
    ("momentum=1", "momentum: no such key", "did you mean optimizer.momentum?"),
    ("optimizer.decay=1", "optimizer.decay: no such key", "+optimizer.decay=..."),
    ("backbon=vgg11", "backbon: no such key", "did you mean backbone?"),
    ("backbone.plann=vgg16", "backbone.plann: no such key", "did you mean backbone.plan?"),
    ("augment.crop.pading=1", "augment.crop.pading: no such key", "augment.crop.padding?"),
    ("evaluate_every.step=5", "evaluate_every.step: no such key", "evaluate_every.steps?"),
    ("evaluate_every={step: 5}", "evaluate_every.step: no such", "evaluate_every.steps?"),
    ("xyzzy=1", "xyzzy: no such key", "batch_size"),
    ("seed.x=1", "seed.x: no such key", "seed"),
    ("sizes.5=1", "sizes.5: no such key", "sizes"),
    ("epochs=five", "epochs: expected a number > 0", "got 'five'"),
    ("epochs=true", "epochs: expected a number > 0", "got true"),
    ("epochs=-1", "epochs: expected a number > 0", "got -1"),
    ("steps=ten", "steps: expected a whole number >= 1", "got 'ten'"),
    ("batch_size=[1]", "batch_size: expected a number", "got [1]"),
    ("force=1", "force: expected true or false", "got 1"),
    ("name=3", "name: expected text", "got 3"),
    ("sizes=3", "sizes: expected a list", "got 3"),
    ("sizes={a: 1}", "sizes: expected a list", "got {a: 1}"),
    ("sizes.0=a", "sizes[0]: expected a number", "got 'a'"),
    ("evaluate_every=5", "evaluate_every: expected a mapping (epochs, steps, examples)", "got 5"),
    ("eval_batch_size=x", "eval_batch_size: expected a number", "got 'x'"),
    ("seed=1 seed=x", "seed=1 seed=x: not a valid override", "seed"),
    ("seed=1|seed=x", "seed: expected a number", "got 'x'"),
    ("optimizer.momentum=big", "optimizer.momentum: expected a number", "got 'big'"),
    ("optimizer.momentum=true", "optimizer.momentum: expected a number", "got true"),
    ("backbone.use_bias=1", "backbone.use_bias: expected true or false", "got 1"),
    ("backbone.plan=true", "backbone.plan: expected a list of at least 1 channel", "got true"),
    ("backbone.plan={a: 1}", "backbone.plan: expected a list of at least 1 channel", "got {a: 1}"),
    ("backbone=vgg12", "backbone=vgg12: no such choice", "did you mean vgg1"),
    ("backbone=transformer", "backbone=transformer: no such choice", "choices: mlp, vgg11, vgg16"),
    ("backbone=" + "x" * 5000, "backbone=xxxx", "no such choice"),
    ("backbone=5", "backbone=5: no such choice", "choices: mlp, vgg11, vgg16"),
    ("backbone=null", "backbone=null: no such choice", "choices: mlp"),
    ("backbone=[vgg11,mlp]", "backbone: expected one choice", "got [vgg11, mlp]"),
    ("augment=crp", "augment=crp: no such choice", "did you mean crop?"),
    ("augment=[crop,flop]", "augment=flop: no such choice", "did you mean flip?"),
    ("experiment=longer", "experiment=longer: no such choice", "did you mean long?"),
    ("hydra/launcher=slurm", "hydra/launcher=slurm: no such choice", "choices: basic"),
    ("opt/sgd=1", "opt/sgd: no such group", "optimizer"),
    ("optimizer@foo=sgd", "optimizer@foo: not in the defaults list", "did you mean optimizer?"),
    ("backbone=vgg11,mlp", "backbone: several values", "-m"),
    ("+backbone=mlp", "+backbone=mlp: backbone is already", "write backbone=mlp"),
    ("++backbone=mlp", "++backbone=mlp: backbone is already", "write backbone=mlp"),
    ("~backbone", "~backbone: a group cannot be deleted", "choices: mlp"),
    ("+epoch=1", "epoch: no such key", "did you mean epochs?"),
    ("++epoch=1", "epoch: no such key", "did you mean epochs?"),
    ("+xyzzy.bar=1", "xyzzy.bar: no such key", "batch_size"),
    ("+evaluate_every.stepz=1", "evaluate_every.stepz: no such key", "evaluate_every.steps?"),
    ("+augment.flip=true", "augment.flip: no such key", "crop"),
    ("+epochs=5", "+epochs=5: the key exists", "write epochs=5"),
    ("~seed", "~seed: cannot be deleted", "null"),
    ("~sed", "sed: no such key", "did you mean seed?"),
    ("~augment.crap", "augment.crap: no such key", "augment.crop"),
    ("epochs", "epochs: expected key=value", "without spaces"),
    ("seed\t=1", r"seed\t=1: not a valid override", "quote"),
    ("data='\u202e'", r"data=\u202e: no such choice", "choices: digits"),
    ("seed=choice(1,2),3", "seed: several values", "-m"),
    ("hydra.sweeper.parms=5", "hydra.sweeper.parms: no such key", "mean hydra.sweeper.params?"),
    ("~hydra.sweeper.parms", "hydra.sweeper.parms: no such key", "mean hydra.sweeper.params?"),
    ("hydra.swep.dir=x", "hydra.swep.dir: no such key", "mean hydra.sweep.dir?"),
    ("hydra.xyzzy=x", "hydra.xyzzy: no such key", ""),
    ("hydra.sweeper.params={seed: 5}", "hydra.sweeper.params: ", ""),
    ("hydra.searchpath=[file:///nowhere]", "provider=hydra.searchpath", "is not available"),
    ("=4", "=4: expected key=value", ""),
    ("epochs=[1", "epochs=[1: not a valid override", "quote"),
    ("epochs=a=b", "epochs=a=b: not a valid override", "quote"),
    ('name="x', 'name="x: not a valid override', "quote"),
    ("backbone.plan[0]=7", "backbone.plan[0]=7: a position", "backbone.plan.0=7"),
    ("seed=" + "9" * 4400, "'seed=9999", "4300 digits"),
    ("data=" + "x" * 5000, "data=xxx", "no such choice"),
    ("x" * 5000 + "=1", "xxx", "no such key"),
    ("batch_size=" + "[" * 2000, "batch_size=[", ""),
    ("sizes=1,2", "sizes: several values", "sizes=[1,2]"),
    ("epochs=5|steps=10", "epochs: give one of epochs, steps, examples", "steps=10"),
    ("epochs={a: 1}|steps=10", "epochs: give one of epochs, steps, examples", "epochs={a: 1}"),
    ("epochs=null", "epochs: required", "give one of"),
    ("evaluate_every.steps=5|evaluate_every.epochs=2", "evaluate_every.epochs: give one", "=5"),
    ("evaluate_every.steps=0", "evaluate_every.steps: expected a whole number >= 1", "got 0"),
    ("eval_batch_size=${nope}", "eval_batch_size: '${nope}'", "'nope' not found"),
    ("seed=${seed}", "seed: '${seed}'", "Recursive"),
    ("name=${oc.env:NOT_SET_ANYWHERE}", "name: '${oc.env:", "NOT_SET_ANYWHERE"),
    ("name=${unknown_resolver:1}", "name: '${unknown_resolver:1}'", "unknown_resolver"),
    ("hydra.run.dirs=3", "hydra.run.dirs: no such key", "did you mean hydra.run.dir?"),
    ("hydra.sweep.dir=null", "hydra.sweep.dir: ", "not Optional"),
    (
        "data._target_=os.system",
        "data._target_: 'os.system' is refused",
        "data allows cnnlab.data.{arrays, cifar10, ",
    ),
    ("+augment.x={_target_: builtins.eval}", "augment.x._target_: 'builtins.eval'", "refused"),
    ("+hydra.callbacks.x._target_=os.system", "hydra.callbacks.x._target_: 'os.system'", "refused"),
    ("experiment=typo", "epoch: no such key", "did you mean epochs?"),
    ("experiment=nested_typo", "evaluate_every.stepz: no such key", "evaluate_every.steps?"),
    ("experiment=twice", "epochs: give one of epochs, steps, examples", "steps=5; a config file"),
    ("experiment=evil", "data._target_: 'os.system' is refused", " fake, "),
    ("experiment=absent", "data=nothing: no such choice", "choices: digits, fake"),
]


@pytest.mark.parametrize(("overrides", "begins", "says"), WRONG, ids=[w[0][:60] for w in WRONG])
def test_wrong_override(configs, overrides, begins, says):
    with pytest.raises(ConfigError) as caught:
        compose(overrides.split("|"), config_dir=configs)
    message = str(caught.value)
    assert message.startswith(begins)
    assert says in message
    assert "\n" not in message
    assert len(message) < 320


def test_there_are_enough():
    assert len(WRONG) >= 30


def test_a_broken_file_is_named_with_its_line(configs):
    with pytest.raises(ConfigError, match=r"broken\.yaml, line 3: expected ',' or '\]'") as caught:
        compose(["experiment=broken"], config_dir=configs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("evaluate", "run: required, e.g. run=outputs/..."),
        ("strict", "data: required, e.g. data=...; choices: digits, fake"),
        ("environment", "secret: '${oc.env:NOT_SET_ANYWHERE}': KeyError raised"),
        ("absent", "Cannot find primary config 'absent'"),
    ],
)
def test_wrong_primary_config(configs, name, message):
    with pytest.raises(ConfigError) as caught:
        compose([], name, config_dir=configs)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("overrides", ["epochs=5", [5]])
def test_overrides_that_are_no_list_of_strings(configs, overrides):
    with pytest.raises(Exception, match="overrides"):  # beartype's error, or ours without it
        compose(overrides, config_dir=configs)


def test_errors_are_value_errors_and_known_failures():
    assert issubclass(ConfigError, ValueError)
    assert issubclass(ConfigError, CnnlabError)
    assert not issubclass(CnnlabError, ValueError)


def test_a_part_that_what_is_chosen_has_not_or_has_already():
    with pytest.raises(ConfigError, match=r"^backbone/filter: the backbone .* has no filter to ch"):
        compose(["backbone=vgg", "backbone/filter=hyena"])
    with pytest.raises(ConfigError, match=r"^backbone/filter: already chosen; write backbone/filt"):
        compose(["backbone=sequence", "+backbone/filter=hyena"])
