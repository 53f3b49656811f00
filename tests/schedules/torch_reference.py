"""What PyTorch's own schedulers do, step by step."""

import torch


def torch_run(make_scheduler, num_steps, optimizer="SGD", learning_rate=1.0):
    """Return learning rates and momenta (or first betas) of `num_steps` updates."""
    weight = torch.nn.Parameter(torch.zeros(1, device="cpu"))
    if optimizer == "SGD":
        inner = torch.optim.SGD([weight], lr=learning_rate, momentum=0.9)
    else:
        inner = torch.optim.Adam([weight], lr=learning_rate)
    scheduler = make_scheduler(inner)
    rates, momenta = [], []
    for step in range(num_steps):
        group = inner.param_groups[0]
        rates.append(group["lr"])
        momenta.append(group["betas"][0] if "betas" in group else group["momentum"])
        inner.step()
        if step < num_steps - 1:
            scheduler.step()
    return rates, momenta


def torch_rates(make_scheduler, num_steps, learning_rate=1.0):
    """Return the learning rates of `num_steps` updates."""
    return torch_run(make_scheduler, num_steps, learning_rate=learning_rate)[0]
