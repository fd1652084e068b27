"""What every batch selector is: an endless supply of batches, told after each step what the model made of them.

The whole idea, in a plain PyTorch loop::

    for rows in selector:                        # one epoch of row numbers
        logits = model(x[rows])
        loss_of(logits, y[rows]).backward()
        optimizer.step()
        optimizer.zero_grad()
        selector.update(rows, logits.detach())   # the only arrow that points back
"""
