"""Pictures to tokens: OpenVLA's two ViTs under their published names, or one small conv tower.

In: `(B, H, W, 3)` uint8 frames (the cameras' pictures side by side), or the published six-channel pixel
values. Out: `(B, P, C)` patch features.

Shape letters: B batch, P patches, C channels of a feature.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policy.configuration import CONV_TOWER, OpenVLAConfig

PATCH = 14
NUM_REGISTERS = 4
SIGLIP_MLP_RATIO = 3.7362
DINOV2_MEAN, DINOV2_STD = (0.484375, 0.455078125, 0.40625), (0.228515625, 0.2236328125, 0.224609375)
SIGLIP_MEAN, SIGLIP_STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


def build_vision(config: OpenVLAConfig) -> "FusedViT | ConvVision":
    """The vision backbone that the configuration names."""
    return ConvVision(config) if config.vision_tower == CONV_TOWER else FusedViT(config)


def one_by_one(pixels_BCHW: Tensor, num_cameras: int) -> Tensor:
    """(B · cameras, C, H, W / cameras): pictures that lay side by side, each alone."""
    return pixels_BCHW.unflatten(3, (num_cameras, -1)).permute(0, 3, 1, 2, 4).flatten(0, 1)


class FusedViT(nn.Module):
    """DINOv2 and SigLIP side by side; features of both, concatenated per patch."""

    def __init__(self, config: OpenVLAConfig) -> None:
        super().__init__()
        dinov2, siglip = config.tower_sizes
        patches = (config.image_size // PATCH) ** 2
        self.featurizer = DINOv2(num_patches=patches, **dinov2)
        self.fused_featurizer = SigLIP(num_patches=patches, **siglip)
        self.num_cameras, self.num_patches = len(config.cameras), len(config.cameras) * patches
        self.dim = dinov2["embed_dim"] + siglip["embed_dim"]

    def pixel_values(self, frames_BHWC: Tensor) -> Tensor:
        """Six channels: the frame as DINOv2 wants it, then as SigLIP wants it."""
        mean = frames_BHWC.new_tensor(DINOV2_MEAN + SIGLIP_MEAN, dtype=torch.float32)
        std = frames_BHWC.new_tensor(DINOV2_STD + SIGLIP_STD, dtype=torch.float32)
        scaled = (frames_BHWC.float() / 255).repeat(1, 1, 1, 2)
        return ((scaled - mean) / std).permute(0, 3, 1, 2)

    def forward(self, pixel_values: Tensor) -> Tensor:
        for_dinov2, for_siglip = one_by_one(pixel_values, self.num_cameras).split(3, dim=1)
        features = torch.cat([self.featurizer(for_dinov2), self.fused_featurizer(for_siglip)], dim=-1)
        return features.reshape(len(pixel_values), self.num_patches, self.dim)


class ConvVision(nn.Module):
    """A convolutional tower that halves each picture at every stage; a feature per cell of its last grid."""

    def __init__(self, config: OpenVLAConfig) -> None:
        super().__init__()
        stem, *stages = config.conv_channels
        grid = config.image_size // 2 ** len(config.conv_channels)
        self.num_cameras = len(config.cameras)
        self.num_patches, self.dim = self.num_cameras * grid**2, config.conv_channels[-1]
        self.featurizer = nn.Sequential(
            nn.Conv2d(3, stem, kernel_size=4, stride=2, padding=1),
            nn.GroupNorm(8, stem),
            nn.ReLU(),
            *(ConvStage(before, after) for before, after in zip(config.conv_channels, stages, strict=False)),
        )
        self.pos_embed = nn.Parameter(torch.zeros(1, self.num_patches, self.dim))

    def pixel_values(self, frames_BHWC: Tensor) -> Tensor:
        return (frames_BHWC.float() / 127.5 - 1).permute(0, 3, 1, 2)

    def forward(self, pixel_values: Tensor) -> Tensor:
        features_NCP = self.featurizer(one_by_one(pixel_values, self.num_cameras)).flatten(2)
        features = features_NCP.transpose(1, 2).reshape(len(pixel_values), self.num_patches, self.dim)
        return features + self.pos_embed


class ConvStage(nn.Module):
    """A residual block that halves the picture."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, kernel_size=3, stride=2, padding=1)
        self.norm1 = nn.GroupNorm(8, after)
        self.conv2 = nn.Conv2d(after, after, kernel_size=3, padding=1)
        self.norm2 = nn.GroupNorm(8, after)
        self.skip = nn.Conv2d(before, after, kernel_size=1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.skip(x) + self.norm2(self.conv2(inner)))


class DINOv2(nn.Module):
    """ViT with a class token, registers and LayerScale; patch features of the second-to-last block."""

    def __init__(self, *, num_patches: int, embed_dim: int, depth: int, num_heads: int) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(embed_dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.reg_token = nn.Parameter(torch.zeros(1, NUM_REGISTERS, embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, num_patches, embed_dim))
        self.blocks = nn.ModuleList(
            Block(embed_dim, num_heads, 4 * embed_dim, layer_scale=True) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)  # in checkpoints; features are read before it

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embed(pixels) + self.pos_embed
        prefix = torch.cat([self.cls_token, self.reg_token], dim=1).expand(len(pixels), -1, -1)
        x = torch.cat([prefix, patches], dim=1)
        for block in self.blocks[:-1]:
            x = block(x)
        return x[:, 1 + NUM_REGISTERS :]


class SigLIP(nn.Module):
    """ViT of patches alone; patch features of the second-to-last block."""

    def __init__(self, *, num_patches: int, embed_dim: int, depth: int, num_heads: int) -> None:
        super().__init__()
        mlp_dim = int(embed_dim * SIGLIP_MLP_RATIO)
        self.patch_embed = PatchEmbed(embed_dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, num_patches, embed_dim))
        self.blocks = nn.ModuleList(
            Block(embed_dim, num_heads, mlp_dim, layer_scale=False) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)  # in checkpoints, like the pool below; never read
        self.attn_pool = AttentionPool(embed_dim, mlp_dim)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patch_embed(pixels) + self.pos_embed
        for block in self.blocks[:-1]:
            x = block(x)
        return x


class PatchEmbed(nn.Module):
    """Non-overlapping patches to vectors."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=PATCH, stride=PATCH)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.proj(pixels).flatten(2).transpose(1, 2)


class Block(nn.Module):
    """Pre-norm transformer block with optional LayerScale."""

    def __init__(self, dim: int, num_heads: int, mlp_dim: int, *, layer_scale: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, num_heads)
        self.ls1 = LayerScale(dim) if layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, mlp_dim)
        self.ls2 = LayerScale(dim) if layer_scale else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class Attention(nn.Module):
    """Full self-attention."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two layers with GELU between."""

    def __init__(self, dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, mlp_dim)
        self.fc2 = nn.Linear(mlp_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    """A learned gain per channel, stored as `scale_factor` in published checkpoints."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale_factor = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale_factor


class AttentionPool(nn.Module):
    """SigLIP's pooling head: its parameters are part of every published checkpoint, its output of none."""

    def __init__(self, dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.latent = nn.Parameter(torch.zeros(1, 1, dim))
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, mlp_dim)
